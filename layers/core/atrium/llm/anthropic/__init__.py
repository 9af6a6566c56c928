"""Claude by the Anthropic SDK, on two channels: the API itself, and Bedrock. Importing it takes a second or two."""
