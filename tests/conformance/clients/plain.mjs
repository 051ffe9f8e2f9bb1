// A chat loop with tools in Node, with nothing but what Node has: fetch, for the model and for the tools.

const goal = process.argv[2];
const model = process.env.MODEL ?? "gpt-4.1";
const isStream = Boolean(process.env.STREAM);
const TIMEOUT_MS = 1000 * Number(process.env.TIMEOUT_S ?? 60);
const ERA = "2025-06-18";

// Yields the data of each event of an event stream.
async function* events(response) {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of response.body) {
    text += decoder.decode(bytes, { stream: true });
    const parts = text.split(/\r?\n\r?\n/);
    text = parts.pop();
    for (const part of parts) {
      const lines = part.split(/\r?\n/).filter((line) => line.startsWith("data:"));
      if (lines.length) yield lines.map((line) => line.slice(5).trimStart()).join("\n");
    }
  }
}

async function post(url, headers, body) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return response;
}

// ---- the tools -------------------------------------------------------------------------------------------------

let session = {};
let id = 0;

async function mcp(method, params, isNotification = false) {
  const headers = { accept: "application/json, text/event-stream", ...session };
  const message = { jsonrpc: "2.0", method, params, ...(isNotification ? {} : { id: ++id }) };
  const response = await post(process.env.MCP_URL, headers, message);
  const given = response.headers.get("mcp-session-id");
  if (given) session["mcp-session-id"] = given;
  if (isNotification) return undefined;
  if (!response.headers.get("content-type").startsWith("text/event-stream")) return result(await response.json());
  for await (const data of events(response)) {
    if (!data) continue;
    const answer = JSON.parse(data);
    if (answer.id === id) return result(answer);
  }
  throw new Error(`no answer to ${method}`);
}

function result(answer) {
  if (answer.error) throw new Error(answer.error.message);
  return answer.result;
}

async function connect() {
  const clientInfo = { name: "plain", version: "1" };
  await mcp("initialize", { protocolVersion: ERA, capabilities: {}, clientInfo });
  session["mcp-protocol-version"] = ERA;
  await mcp("notifications/initialized", {}, true);
}

// ---- the model -------------------------------------------------------------------------------------------------

const RETRIES = 3;

async function ask(messages, tools) {
  const url = `${process.env.OPENAI_BASE_URL}/chat/completions`;
  const headers = { authorization: `Bearer ${process.env.OPENAI_API_KEY}` };
  for (let attempt = 1; ; attempt++) {
    try {
      const response = await post(url, headers, { model, messages, tools, stream: isStream });
      return isStream ? await gather(response) : (await response.json()).choices[0].message;
    } catch (error) {
      if (attempt > RETRIES) throw error;
      console.error(`ask once more: ${error.message}`);
      await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** attempt));
    }
  }
}

// Puts a message together from the pieces of a stream; a stream that ends before its last word is an error.
async function gather(response) {
  const message = { role: "assistant", content: "" };
  for await (const data of events(response)) {
    if (data === "[DONE]") return message;
    const delta = JSON.parse(data).choices[0]?.delta ?? {};
    message.content += delta.content ?? "";
    for (const part of delta.tool_calls ?? []) {
      message.tool_calls ??= [];
      const call = (message.tool_calls[part.index] ??= {
        id: part.id,
        type: "function",
        function: { name: part.function.name, arguments: "" },
      });
      call.function.arguments += part.function.arguments ?? "";
    }
  }
  throw new Error("the stream ended too soon");
}

await connect();
const tools = (await mcp("tools/list", {})).tools.map((tool) => ({
  type: "function",
  function: { name: tool.name, description: tool.description, parameters: tool.inputSchema },
}));
const messages = [
  { role: "system", content: "You book rooms." },
  { role: "user", content: goal },
];
while (true) {
  const message = await ask(messages, tools);
  messages.push(message);
  if (!message.tool_calls?.length) break;
  for (const call of message.tool_calls) {
    const { name, arguments: args } = call.function;
    const { content } = await mcp("tools/call", { name, arguments: JSON.parse(args) });
    messages.push({ role: "tool", tool_call_id: call.id, content: content.map((block) => block.text).join("\n") });
  }
}
console.log(JSON.stringify({ answer: messages.at(-1).content }));
