// Whether what this page shows is still true. Everything that fetches by itself says here how that went; when something
// fails, <html data-offline> greys what is live, and the bar says since when.

const sources = new Map<string, boolean>();
const listeners = new Set<() => void>();
const PROBE_MS = 5_000;
let offlineSince: number | undefined;

/** `online`: how the last attempt went; undefined: nobody needs this source any more. */
export function setSource(name: string, online: boolean | undefined): void {
  if (online === undefined) sources.delete(name);
  else sources.set(name, online);
  const offline = [...sources.values()].includes(false);
  if (offline === (offlineSince !== undefined)) return;
  offlineSince = offline ? Date.now() : undefined;
  document.documentElement.toggleAttribute("data-offline", offline);
  for (const listener of listeners) listener();
  if (offline) void probe();
}

/** A stream that is refused doesn't say why. If it is because the session has ended, what helps is to sign in. */
async function probe(): Promise<void> {
  while (offlineSince !== undefined) {
    try {
      const { status } = await fetch("/session", { headers: { accept: "application/json" } });
      if (status === 401) {
        location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
        return;
      }
    } catch {
      // Nobody answers: offline is what it is.
    }
    await new Promise((resolve) => setTimeout(resolve, PROBE_MS));
  }
}

/** Since when the page is offline, in ms; undefined: it isn't. */
export function since(): number | undefined {
  return offlineSince;
}

export function onPresence(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
