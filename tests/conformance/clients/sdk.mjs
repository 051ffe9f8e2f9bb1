// A chat loop with tools in Node, as one writes it with `openai` and `@modelcontextprotocol/sdk`.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import OpenAI from "openai";

const model = process.env.MODEL ?? "gpt-4.1";
const timeout = 1000 * Number(process.env.TIMEOUT_S ?? 60);
const openai = new OpenAI({ timeout });
const mcp = new Client({ name: "clerk", version: "1.0.0" });
await mcp.connect(new StreamableHTTPClientTransport(new URL(process.env.MCP_URL)));
const tools = (await mcp.listTools()).tools.map((tool) => ({
  type: "function",
  function: { name: tool.name, description: tool.description, parameters: tool.inputSchema },
}));
const messages = [
  { role: "system", content: "You book rooms." },
  { role: "user", content: process.argv[2] },
];

async function ask() {
  if (process.env.STREAM) return streamed(openai.chat.completions.stream({ model, messages, tools }));
  return (await openai.chat.completions.create({ model, messages, tools })).choices[0].message;
}

// The library's own timeout ends once a stream has begun: one that falls silent then would be waited for without end.
async function streamed(stream) {
  let silence;
  stream.on("connect", () => (silence = setTimeout(() => stream.abort(), timeout)));
  stream.on("chunk", () => silence.refresh());
  return stream.finalMessage().finally(() => clearTimeout(silence));
}

while (true) {
  const { role, content, tool_calls } = await ask();
  messages.push({ role, content, tool_calls });
  if (!tool_calls?.length) break;
  for (const call of tool_calls) {
    const { name, arguments: args } = call.function;
    const result = await mcp.callTool({ name, arguments: JSON.parse(args) }, undefined, { timeout });
    messages.push({ role: "tool", tool_call_id: call.id, content: result.content.map((block) => block.text).join("\n") });
  }
}
console.log(JSON.stringify({ answer: messages.at(-1).content }));
await mcp.close();
