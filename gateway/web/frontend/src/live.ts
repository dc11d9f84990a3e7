// Live values for the elements of a page:
//
//   const stop = subscribe("filler/*", (update) => { … });
//
// The callback gets all rows first and after every reconnection, then the rows that changed. While the page is offline,
// rows keep their last values and their ages grow.

import { ask, type Heard, onHeard } from "./port";
import { setSource } from "./presence";
import { matcher, type Row, Values } from "./values";

export interface Update {
  /** Whether `rows` are all rows there are, in their order; else those that changed. */
  readonly whole: boolean;
  readonly rows: readonly Row[];
}

export type Callback = (update: Update) => void;

interface Subscription {
  readonly pattern: string;
  readonly matches: (tag: string) => boolean;
  readonly callback: Callback;
}

const subscriptions = new Set<Subscription>();
let values: Values | undefined;
let pending = false;

/** Watch the tags that a shell pattern over `device/path` matches. Returns what ends it. */
export function subscribe(pattern: string, callback: Callback): () => void {
  const subscription: Subscription = { pattern, matches: matcher(pattern), callback };
  subscriptions.add(subscription);
  if (values !== undefined) callback({ whole: true, rows: values.rows.filter((row) => subscription.matches(row.tag)) });
  tellWishes();
  return () => {
    subscriptions.delete(subscription);
    tellWishes();
  };
}

/** Several elements come and go at once when a page changes: one message for all of them. */
function tellWishes(): void {
  if (pending) return;
  pending = true;
  queueMicrotask(() => {
    pending = false;
    const patterns = [...new Set([...subscriptions].map((subscription) => subscription.pattern))].sort();
    if (patterns.length === 0) {
      values = undefined;
      setSource("values", undefined);
    }
    ask({ patterns });
  });
}

onHeard(hear);
addEventListener("pagehide", () => {
  if (subscriptions.size > 0) ask({ patterns: [] });
});
addEventListener("pageshow", (event) => {
  if (event.persisted && subscriptions.size > 0) tellWishes();
});

function hear(told: Heard): void {
  if (told.kind === "state") {
    setSource("values", told.online);
    return;
  }
  if (told.kind === "snapshot") {
    values = new Values(told.body, told.at);
    for (const tick of told.ticks) values.take(tick.body, tick.at);
    const rows = values.rows;
    for (const { matches, callback } of subscriptions) {
      callback({ whole: true, rows: rows.filter((row) => matches(row.tag)) });
    }
    return;
  }
  if (told.kind !== "tick" || values === undefined) return;
  const changed = values.take(told.body, told.at);
  for (const { matches, callback } of subscriptions) {
    callback({ whole: false, rows: changed.filter((row) => matches(row.tag)) });
  }
}
