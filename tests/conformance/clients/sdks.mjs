// Runs one JavaScript SDK through the scenarios that sdks.py describes: `node sdks.mjs <client>`.

import Anthropic from '@anthropic-ai/sdk';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, jsonSchema, Output, stepCountIs, streamText, tool } from 'ai';
import OpenAI from 'openai';
import { text as read } from 'node:stream/consumers';

const HELLO = '[[echo]] Hello.';
const SUM = 'what is 12*7?';
const PLACE = 'Name a city. Answer as JSON.';
const TOKENS_MAX = 200;
const UNKNOWN = 'no-such-model';
const LOOK = 'What is this?';
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC';
const ARGUMENTS = { type: 'object', properties: { expression: { type: 'string' } }, required: ['expression'] };
const SCHEMA = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};
const DESCRIPTION = 'Works out an expression.';
const given = JSON.parse(await read(process.stdin));
const user = (content) => ({ role: 'user', content });
const statusOf = async (call) => {
  try {
    return await call();
  } catch (error) {
    return { status: error.status ?? error.statusCode };
  }
};

function openai() {
  const client = new OpenAI({ baseURL: `${given.base_url}/v1`, apiKey: given.api_key, maxRetries: 0 });
  const create = (fields) => client.chat.completions.create({ model: given.model, ...given.options, ...fields });
  const tools = [
    { type: 'function', function: { name: 'calculator', description: DESCRIPTION, parameters: ARGUMENTS } },
  ];
  return {
    text: async () => (await create({ messages: [user(HELLO)] })).choices[0].message.content,
    stream: async () => {
      const options = { messages: [user(HELLO)], stream: true, stream_options: { include_usage: true } };
      const pieces = [];
      let tokens = 0;
      for await (const chunk of await create(options)) {
        if (chunk.choices[0]?.delta.content) pieces.push(chunk.choices[0].delta.content);
        tokens = chunk.usage?.completion_tokens ?? tokens;
      }
      return { text: pieces.join(''), parts: pieces.length, tokens };
    },
    tool: async () => {
      const asked = (await create({ messages: [user(SUM)], tools })).choices[0].message;
      const [call] = asked.tool_calls;
      const result = { role: 'tool', tool_call_id: call.id, content: '84' };
      const answer = await create({ messages: [user(SUM), asked, result], tools });
      const { name, arguments: args } = call.function;
      return { name, args: JSON.parse(args), text: answer.choices[0].message.content };
    },
    output: async () => {
      const schema = { name: 'place', schema: SCHEMA, strict: true };
      const form = { type: 'json_schema', json_schema: schema };
      const answer = await create({ messages: [user(PLACE)], response_format: form });
      return JSON.parse(answer.choices[0].message.content);
    },
    image: async () => {
      const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${PNG}` } };
      const answer = await create({ messages: [user([{ type: 'text', text: LOOK }, image])] });
      return answer.choices[0].message.content;
    },
    error: () => statusOf(() => create({ model: UNKNOWN, messages: [user(HELLO)] })),
  };
}

function anthropic() {
  const client = new Anthropic({ baseURL: given.base_url, apiKey: given.api_key, maxRetries: 0 });
  const always = { model: given.model, max_tokens: TOKENS_MAX, ...given.options };
  const create = (fields) => client.messages.create({ ...always, ...fields });
  const textOf = (message) => message.content.map((block) => (block.type === 'text' ? block.text : '')).join('');
  const tools = [{ name: 'calculator', description: DESCRIPTION, input_schema: ARGUMENTS }];
  return {
    text: async () => textOf(await create({ messages: [user(HELLO)] })),
    stream: async () => {
      const pieces = [];
      const stream = client.messages.stream({ ...always, messages: [user(HELLO)] });
      stream.on('text', (piece) => pieces.push(piece));
      const final = await stream.finalMessage();
      return { text: pieces.join(''), parts: pieces.length, tokens: final.usage.output_tokens };
    },
    tool: async () => {
      const asked = await create({ messages: [user(SUM)], tools });
      const call = asked.content.find((block) => block.type === 'tool_use');
      const result = { type: 'tool_result', tool_use_id: call.id, content: '84' };
      const messages = [user(SUM), { role: 'assistant', content: asked.content }, user([result])];
      return { name: call.name, args: call.input, text: textOf(await create({ messages, tools })) };
    },
    output: async () => {
      const form = { type: 'json_schema', schema: SCHEMA };
      return JSON.parse(textOf(await create({ messages: [user(PLACE)], output_config: { format: form } })));
    },
    image: async () => {
      const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PNG } };
      return textOf(await create({ messages: [user([{ type: 'text', text: LOOK }, image])] }));
    },
    error: () => statusOf(() => create({ model: UNKNOWN, messages: [user(HELLO)] })),
  };
}

// Vercel's AI SDK. `name` is the name of the provider's options in `providerOptions`.
function vercel(provider, name) {
  const always = { model: provider(given.model), maxRetries: 0, providerOptions: { [name]: given.options } };
  return {
    text: async () => (await generateText({ ...always, prompt: HELLO })).text,
    stream: async () => {
      const pieces = [];
      const stream = streamText({ ...always, prompt: HELLO, onError: ({ error }) => { throw error; } });
      for await (const piece of stream.textStream) pieces.push(piece);
      return { text: pieces.join(''), parts: pieces.length, tokens: (await stream.usage).outputTokens };
    },
    tool: async () => {
      const calculator = tool({
        description: DESCRIPTION,
        inputSchema: jsonSchema(ARGUMENTS),
        execute: async () => '84',
      });
      const answer = await generateText({ ...always, prompt: SUM, tools: { calculator }, stopWhen: stepCountIs(3) });
      const [call] = answer.steps[0].toolCalls;
      return { name: call.toolName, args: call.input, text: answer.text };
    },
    output: async () => {
      const form = Output.object({ schema: jsonSchema(SCHEMA) });
      return (await generateText({ ...always, prompt: PLACE, output: form })).output;
    },
    image: async () => {
      const content = [{ type: 'text', text: LOOK }, { type: 'image', image: PNG, mediaType: 'image/png' }];
      return (await generateText({ ...always, messages: [user(content)] })).text;
    },
    error: () => statusOf(() => generateText({ ...always, model: provider(UNKNOWN), prompt: HELLO })),
  };
}

const CLIENTS = {
  openai,
  anthropic,
  'ai-sdk-openai-compatible': () => {
    const settings = { name: 'endpoint', baseURL: `${given.base_url}/v1`, apiKey: given.api_key };
    const provider = createOpenAICompatible({ ...settings, includeUsage: true, supportsStructuredOutputs: true });
    return vercel(provider, 'endpoint');
  },
  'ai-sdk-anthropic': () => {
    const provider = createAnthropic({ baseURL: `${given.base_url}/v1`, apiKey: given.api_key });
    return vercel(provider, 'anthropic');
  },
};

const results = {};
for (const [name, scenario] of Object.entries(CLIENTS[process.argv[2]]())) {
  try {
    results[name] = await scenario();
  } catch (error) {
    results[name] = { error: `${error.name}: ${error.message} ${error.responseBody ?? ''}` };
  }
}
process.stdout.write(JSON.stringify(results));
