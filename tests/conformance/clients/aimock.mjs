// An upstream that others wrote: `@copilotkit/aimock`, told to look, book and pay. Prints its port and serves until its
// standard input ends; its own journal (`/__aimock/journal`) counts the requests.

import { LLMock } from "@copilotkit/aimock";

const SIGNS = { look: "found", book: "booked", pay: "paid" };
const ARGUMENTS = { look: {}, book: { nights: 2 }, pay: { amount: 200 } };

const text = (content) => (typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? "").join(""));

// The next thought: the first act whose sign is in no tool result yet, else the last word.
function think({ messages, tools }) {
  const goal = messages.filter((message) => message.role === "user").map((message) => text(message.content)).join();
  const ref = goal.match(/reference ([\w-]+)/)[1];
  const results = messages.filter((message) => message.role === "tool").map((message) => text(message.content));
  for (const [act, sign] of Object.entries(SIGNS)) {
    if (results.some((result) => result.includes(`${sign} ${ref}`))) continue;
    const name = tools.map((tool) => tool.function.name).find((offered) => offered.split(/[._/-]+/).at(-1) === act);
    return { content: `Now I will ${act}.`, toolCalls: [{ name, arguments: JSON.stringify({ ref, ...ARGUMENTS[act] }) }] };
  }
  return { content: `Your room is booked and paid, ${ref}.` };
}

const mock = new LLMock({ port: 0, host: "127.0.0.1", logLevel: "silent" });
mock.on({ predicate: () => true }, think);
await mock.start();
console.log(mock.port);
process.stdin.resume();
process.stdin.on("end", () => process.exit());
