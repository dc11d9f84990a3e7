// Light, dark or as the system has it. Kept in a cookie, so that the server's page has it from its first byte on;
// <html data-theme> is what the stylesheet looks at.

const COOKIE = "tidegate-theme";
const YEAR_S = 365 * 86_400;

export function toggleTheme(): void {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const next = (root.dataset["theme"] ?? system) === "dark" ? "light" : "dark";
  if (next === system) delete root.dataset["theme"];
  else root.dataset["theme"] = next;
  const kept = next === system ? "system; Max-Age=0" : `${next}; Max-Age=${YEAR_S}`;
  document.cookie = `${COOKIE}=${kept}; Path=/; Secure; SameSite=Strict`;
}
