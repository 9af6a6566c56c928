"""Claude models through the Anthropic SDK, by the Anthropic API or Bedrock. The import takes one to two seconds."""
