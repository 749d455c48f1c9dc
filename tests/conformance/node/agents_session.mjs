// A written, a spoken and a tool turn, and an interrupted one, by a session of the Agents SDK for Node.
// Arguments: the URL of the websocket, the key, the model, a file with a spoken question. Output: what was seen.
import { readFileSync } from "node:fs";
import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } from "@openai/agents-realtime";
import { z } from "zod";

const [url, apiKey, model, recording] = process.argv.slice(2);
const question = readFileSync(recording);
const asked = [];
const weather = tool({
  name: "get_weather",
  description: "Say what the weather is like.",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => {
    asked.push(city);
    return "It will be sunny in Paris.";
  },
});
const agent = new RealtimeAgent({ name: "Assistant", instructions: "Be brief.", tools: [weather] });
const session = new RealtimeSession(agent, {
  transport: new OpenAIRealtimeWebSocket({ url }),
  model,
  config: { audio: { input: { turnDetection: { type: "server_vad", interruptResponse: true } } } },
});

const arrived = [];
let wake = () => {};
session.on("transport_event", (event) => {
  arrived.push(event);
  wake();
});
let heard = 0;
session.on("audio", (event) => (heard += event.data.byteLength));
session.on("error", (error) => {
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

const said = (events) => events.at(-1).response.output.at(-1).content.at(-1).transcript;
const seen = {};

await session.connect({ apiKey, url });
session.sendMessage("Hello.");
seen.written = said(await until("response.done"));

heard = 0;
for (let start = 0; start < question.length; start += 4800) {
  const chunk = question.subarray(start, start + 4800);
  session.sendAudio(chunk.buffer.slice(chunk.byteOffset, chunk.byteOffset + chunk.byteLength));
}
seen.spoken = said(await until("response.done"));
seen.heard = heard;

session.sendMessage("What is the weather in Paris?");
await until("response.done");
seen.followed = said(await until("response.done"));
seen.asked = asked;

session.sendMessage("Tell me a long story.");
await until("response.output_audio.delta");
session.interrupt();
seen.cancelled = (await until("response.done")).at(-1).response.status_details;

session.close();
console.log(JSON.stringify(seen));
