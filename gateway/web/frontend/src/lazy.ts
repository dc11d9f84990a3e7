// Elements that few pages have, and that are large: loaded when one of them is there.

const LOADERS: Readonly<Record<string, () => Promise<unknown>>> = {
  "bundle-upload": () => import("./elements/bundle-upload"),
  "device-form": () => import("./elements/device-form"),
  "device-search": () => import("./elements/device-search"),
  "device-setup": () => import("./elements/device-setup"),
  "device-test": () => import("./elements/device-test"),
  "live-table": () => import("./elements/live-table"),
  "log-tail": () => import("./elements/log-tail"),
  "sink-setup": () => import("./elements/sink-setup"),
  "spark-line": () => import("./elements/spark-line"),
  "tag-now": () => import("./elements/tag-now"),
  "tag-sheet": () => import("./elements/tag-sheet"),
  "tag-tree": () => import("./elements/tag-tree"),
  "toml-editor": () => import("./elements/toml-editor"),
  "trend-plot": () => import("./elements/trend-plot"),
  "wire-trace": () => import("./elements/wire-trace"),
};

const loaded = new Set<string>();

export function loadElements(): void {
  for (const [name, load] of Object.entries(LOADERS)) {
    if (loaded.has(name) || document.querySelector(name) === null) continue;
    loaded.add(name);
    void load();
  }
}
