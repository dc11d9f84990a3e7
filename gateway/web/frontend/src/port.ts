// The way to what all tabs of this browser share: in a shared worker, or where browsers have none in the tab itself.

import { answerer, type Ask, type Heard } from "./answerer";
import { Bulletin } from "./bulletin";
import { Hub } from "./hub";
import { policy } from "./policy";

declare const LIVE_WORKER: string;

export type { Heard } from "./answerer";

const hearers = new Set<(heard: Heard) => void>();
let post: ((question: Ask) => void) | undefined;

/** `hear` gets all that is told to this tab. */
export function onHeard(hear: (heard: Heard) => void): void {
  hearers.add(hear);
}

export function ask(question: Ask): void {
  post ??= connect();
  post(question);
}

function hear(heard: Heard): void {
  for (const each of hearers) each(heard);
}

function connect(): (question: Ask) => void {
  if (typeof SharedWorker === "function" && "locks" in navigator) {
    const worker = new SharedWorker(policy.createScriptURL(LIVE_WORKER), { name: "tidegate-live" });
    worker.port.onmessage = (event: MessageEvent<Heard>) => hear(event.data);
    worker.port.start();
    const lock = `tidegate-tab-${crypto.randomUUID()}`;
    void navigator.locks.request(lock, () => {
      worker.port.postMessage({ lock });
      return new Promise(() => undefined); // held until the tab is gone
    });
    return (question) => worker.port.postMessage(question);
  }
  return answerer(hear, new Hub(), new Bulletin());
}
