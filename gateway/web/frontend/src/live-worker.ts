// The shared worker: one hub for all tabs. A tab that closes says so; one that can't is found out by its lock.

import { Hub, type Told, type Wish } from "./hub";

declare const self: { onconnect: (event: MessageEvent) => void };

const hub = new Hub();

self.onconnect = (event) => {
  const port = event.ports[0]!;
  const tell = (told: Told): void => port.postMessage(told);
  port.onmessage = (message: MessageEvent<Wish & { lock?: string }>) => {
    const { lock } = message.data;
    if (lock !== undefined) {
      // The tab holds this lock for as long as it lives, so getting it means that the tab is gone.
      void navigator.locks.request(lock, () => {
        hub.leave(tell);
        port.close();
      });
      return;
    }
    hub.wish(tell, message.data);
  };
};
