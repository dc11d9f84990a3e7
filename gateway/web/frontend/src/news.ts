// Changes of state for the elements of a page, and how much needs repair. Nothing is asked for while nobody looks: a tab
// in the background lets go, and hears how things are when it is back.

import type { Change, Repairs } from "./bulletin";
import { ask, onHeard } from "./port";
import { setSource } from "./presence";

const changes = new Set<(change: Change) => void>();
const beginnings = new Set<() => void>();
const counts = new Set<(repairs: Repairs) => void>();
let repairs: Repairs | undefined;
let wanted = false;

/** Hear of every change. Returns what ends it. */
export function onChange(hear: (change: Change) => void): () => void {
  return join(changes, hear);
}

/** Hear when changes are told from now on: what changed before may have been missed. Returns what ends it. */
export function onBeginning(hear: () => void): () => void {
  beginnings.add(hear);
  return () => beginnings.delete(hear);
}

/** Hear of how much needs repair, now and whenever that changes. Returns what ends it. */
export function onRepairs(hear: (repairs: Repairs) => void): () => void {
  if (repairs !== undefined) hear(repairs);
  return join(counts, hear);
}

function join<T>(all: Set<T>, one: T): () => void {
  all.add(one);
  tellWish();
  return () => {
    all.delete(one);
    tellWish();
  };
}

function tellWish(): void {
  const now = changes.size + counts.size > 0 && document.visibilityState === "visible";
  if (now === wanted) return;
  wanted = now;
  ask({ news: now });
  if (!now) setSource("news", undefined);
}

document.addEventListener("visibilitychange", tellWish);
addEventListener("pagehide", () => {
  if (wanted) ask({ news: false });
  wanted = false;
});
addEventListener("pageshow", tellWish);

onHeard((news) => {
  if (news.kind === "change") for (const hear of changes) hear(news.change);
  if (news.kind === "repairs") {
    repairs = news.repairs;
    for (const hear of counts) hear(news.repairs);
  }
  if (news.kind === "reachable" && wanted) setSource("news", news.reachable);
  if (news.kind === "reachable" && news.reachable) for (const hear of beginnings) hear();
});
