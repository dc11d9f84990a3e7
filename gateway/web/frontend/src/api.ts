// Calls to our own origin, for elements: the session's cookie goes along by itself, the token beside it from the page.

export interface Problem {
  status: number;
  code: string;
  detail: string;
  mend?: string | null;
  /** Of an upload whose parts don't follow on each other: bytes that are there. */
  received?: number;
  problems?: readonly { message: string; field?: string | null; mend?: string | null }[];
}

export class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
  }
}

export function csrfToken(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? "";
}

/** A document of the control API: `call("GET", "/v1/status")`. Throws Refused, or TypeError where nobody answers. */
export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = { accept: "application/json", "x-csrf-token": csrfToken() };
  const request: RequestInit = { method, headers };
  if (body !== undefined) {
    headers["content-type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  const response = await fetch(`/api${path}`, request);
  if (response.status === 401) location.assign("/login");
  if (!response.ok) throw new Refused(await problemOf(response));
  return response.status === 204 ? (undefined as T) : ((await response.json()) as T);
}

/** A part of a file. Throws as `call` does. */
export async function sendPart<T>(path: string, part: Blob): Promise<T> {
  const headers = { accept: "application/json", "content-type": "application/octet-stream", "x-csrf-token": csrfToken() };
  const response = await fetch(`/api${path}`, { method: "PUT", headers, body: part });
  if (response.status === 401) location.assign("/login");
  if (!response.ok) throw new Refused(await problemOf(response));
  return (await response.json()) as T;
}

async function problemOf(response: Response): Promise<Problem> {
  try {
    return { status: response.status, ...((await response.json()) as Omit<Problem, "status">) };
  } catch {
    return { status: response.status, code: "no-answer", detail: `the page answered ${response.status}` };
  }
}

export interface Told {
  readonly event: string;
  readonly data: unknown;
}

/** A stream of the control API, event by event; `body` is posted, without one it is got. Ends by itself, or with `signal`. */
export async function* stream(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<Told> {
  const headers: Record<string, string> = { accept: "text/event-stream", "x-csrf-token": csrfToken() };
  const request: RequestInit = { method: "GET", headers, signal };
  if (body !== undefined) {
    headers["content-type"] = "application/json";
    Object.assign(request, { method: "POST", body: JSON.stringify(body) });
  }
  const response = await fetch(`/api${path}`, request);
  if (response.status === 401) location.assign("/login");
  if (!response.ok || response.body === null) throw new Refused(await problemOf(response));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop()!;
    for (const each of events) {
      const lines = each.split("\n");
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
      if (data.length === 0) continue;
      const name = lines.find((line) => line.startsWith("event:"))?.slice(6).trim() ?? "message";
      yield { event: name, data: JSON.parse(data.join("\n")) };
    }
  }
}
