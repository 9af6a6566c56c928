"""Models with OpenAI's Chat Completions API, called with the OpenAI SDK: OpenAI and Zhipu. The import takes 0.6 s."""
