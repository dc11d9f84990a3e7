// The shared worker: one hub and one bulletin for all tabs. A tab that closes says so; one that can't is found out by its
// lock.

import { Bulletin } from "./bulletin";
import { Hub } from "./hub";
import { answerer, type Ask, type Heard } from "./answerer";

declare const self: { onconnect: (event: MessageEvent) => void };

const hub = new Hub();
const bulletin = new Bulletin();

self.onconnect = (event) => {
  const port = event.ports[0]!;
  const tell = (heard: Heard): void => port.postMessage(heard);
  const answer = answerer(tell, hub, bulletin);
  port.onmessage = (message: MessageEvent<Ask | { readonly lock: string }>) => {
    const question = message.data;
    if ("lock" in question) {
      // The tab holds this lock for as long as it lives, so getting it means that the tab is gone.
      void navigator.locks.request(question.lock, () => {
        hub.leave(tell);
        bulletin.leave(tell);
        port.close();
      });
      return;
    }
    answer(question);
  };
};
