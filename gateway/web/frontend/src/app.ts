// The script of every page: htmx with our rules, the elements, and the few things that plain HTML can't do.

import htmx from "htmx.org";
import { csrfToken } from "./api";
import "./elements/change-banner";
import "./elements/copy-as";
import "./elements/live-part";
import "./elements/live-state";
import "./elements/machine-banner";
import "./elements/repairs-count";
import { loadElements } from "./lazy";
import { policy } from "./policy";
import { type Mood, say } from "./say";
import { toggleTheme } from "./theme";

loadElements();

// The name is htmx's for extensions; this one gives it our policy, without which the browser refuses its work.
const security = { init: (api: { initSecurity(given: unknown): void }) => api.initSecurity(policy) };
htmx.registerExtension("tidegate", security as never);

document.addEventListener("htmx:config:request", (event) => {
  const { ctx } = (event as CustomEvent<{ ctx: { request: { headers: Record<string, string> } } }>).detail;
  ctx.request.headers["x-csrf-token"] = csrfToken();
});

// The server says something beside what it puts into the page: Visit.toast.
document.addEventListener("tg:say", (event) => {
  const { kind, text } = (event as CustomEvent<{ kind: Mood; text: string }>).detail;
  say(kind, text);
});

document.addEventListener("htmx:error", (event) => {
  const { error } = (event as CustomEvent<{ error?: unknown }>).detail;
  if (error instanceof TypeError) say("bad", "The page doesn't answer. Is the gateway reachable?");
});

document.addEventListener("click", (event) => {
  const target = event.target as Element;
  if (target.closest("[data-toggle-theme]") !== null) toggleTheme();
  const opener = target.closest<HTMLElement>("[data-dialog]");
  if (opener !== null) {
    const dialog = document.getElementById(opener.dataset["dialog"]!);
    if (dialog instanceof HTMLDialogElement) dialog.showModal();
  }
  const closer = target.closest("[data-close]");
  if (closer !== null) closer.closest("dialog")?.close();
  for (const menu of document.querySelectorAll<HTMLDetailsElement>("details.menu-button[open]")) {
    if (!menu.contains(target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = (document.activeElement ?? document.body).closest<HTMLDetailsElement>("details.menu-button[open]");
  if (menu === null) return;
  menu.open = false;
  menu.querySelector("summary")?.focus();
});

// A dialog that the server put into the page opens by itself.
document.addEventListener("htmx:after:swap", () => {
  loadElements();
  for (const dialog of document.querySelectorAll<HTMLDialogElement>("dialog[data-open]:not([open])")) {
    dialog.removeAttribute("data-open");
    dialog.showModal();
  }
});
