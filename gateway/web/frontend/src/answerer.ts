// What a tab and that which all tabs share say to each other.

import type { Bulletin, News } from "./bulletin";
import type { Hub, Told, Wish } from "./hub";

/** From a tab: which values it wants to see, or whether it wants to hear of changes. */
export type Ask = Wish | { readonly news: boolean };

/** To a tab. */
export type Heard = Told | News;

/** Answers what one tab asks. */
export function answerer(tell: (heard: Heard) => void, hub: Hub, bulletin: Bulletin): (question: Ask) => void {
  return (question) => {
    if ("patterns" in question) hub.wish(tell, question);
    else if (question.news) bulletin.join(tell);
    else bulletin.leave(tell);
  };
}
