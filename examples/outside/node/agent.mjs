// A loop over Responses with the tools of an MCP server.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import OpenAI from "openai";

const openai = new OpenAI();
const hotel = new Client({ name: "clerk", version: "1.0.0" });
await hotel.connect(new StreamableHTTPClientTransport(new URL(process.env.MCP_URL)));
const tools = (await hotel.listTools()).tools.map(({ name, description, inputSchema }) => {
  return { type: "function", name, description, parameters: inputSchema, strict: false };
});
const input = [{ role: "user", content: "Book a room in Lisbon for two nights." }];

while (true) {
  const answer = await openai.responses.create({ model: "gpt-5-mini", input, tools });
  console.log(answer.output_text);
  const calls = answer.output.filter((item) => item.type === "function_call");
  if (!calls.length) break;
  input.push(...answer.output);
  for (const { call_id, name, arguments: args } of calls) {
    const result = await hotel.callTool({ name, arguments: JSON.parse(args) });
    input.push({ type: "function_call_output", call_id, output: result.content[0].text });
  }
}
await hotel.close();
