// A written, a spoken and a tool turn, and a cancelled one, by the official client for Node.
// Arguments: the base URL (https), the key, the model, a file with a spoken question. Output: what was seen.
import { readFileSync } from "node:fs";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

const [baseURL, apiKey, model, recording] = process.argv.slice(2);
const question = readFileSync(recording);
const connection = new OpenAIRealtimeWS({ model }, new OpenAI({ baseURL, apiKey }));

const arrived = [];
let wake = () => {};
connection.on("event", (event) => {
  arrived.push(event);
  wake();
});
connection.on("error", (error) => {
  console.error(error);
  process.exit(1);
});

async function until(type) {
  const seen = [];
  while (seen.at(-1)?.type !== type) {
    while (!arrived.length) await new Promise((resolve) => (wake = resolve));
    seen.push(arrived.shift());
  }
  return seen;
}

async function configure(session) {
  connection.send({ type: "session.update", session: { type: "realtime", ...session } });
  return (await until("session.updated")).at(-1).session;
}

function write(text) {
  const item = { type: "message", role: "user", content: [{ type: "input_text", text }] };
  connection.send({ type: "conversation.item.create", item });
  connection.send({ type: "response.create" });
}

const joined = (events, type) => events.filter((event) => event.type === type).map((event) => event.delta).join("");
const seen = {};

await until("session.created");
await configure({ output_modalities: ["text"] });
write("Hello.");
seen.written = joined(await until("response.done"), "response.output_text.delta");

await configure({ output_modalities: ["audio"] });
for (let start = 0; start < question.length; start += 4800) {
  const audio = question.subarray(start, start + 4800).toString("base64");
  connection.send({ type: "input_audio_buffer.append", audio });
}
const spoken = await until("response.done");
const deltas = spoken.filter((event) => event.type === "response.output_audio.delta");
seen.heard = deltas.reduce((total, event) => total + Buffer.from(event.delta, "base64").length, 0);
seen.spoken = joined(spoken, "response.output_audio_transcript.delta");

const parameters = { type: "object", properties: { city: { type: "string" } } };
await configure({ output_modalities: ["text"], tools: [{ type: "function", name: "get_weather", parameters }] });
write("What is the weather in Paris?");
const [call] = (await until("response.done")).at(-1).response.output;
seen.called = { name: call.name, arguments: JSON.parse(call.arguments) };
const item = { type: "function_call_output", call_id: call.call_id, output: "It will be sunny in Paris." };
connection.send({ type: "conversation.item.create", item });
connection.send({ type: "response.create" });
seen.followed = joined(await until("response.done"), "response.output_text.delta");

await configure({ output_modalities: ["audio"] });
write("Tell me a long story.");
await until("response.output_audio.delta");
connection.send({ type: "response.cancel" });
seen.cancelled = (await until("response.done")).at(-1).response.status_details;

connection.close();
console.log(JSON.stringify(seen));
