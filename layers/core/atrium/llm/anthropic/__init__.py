"""Claude models, called with the Anthropic SDK through the Anthropic API or Bedrock. The import takes 1 to 2 s."""
