// <toml-editor>: makes an editor of the text field in it, with colours, line numbers and the problems at their lines.
// The field stays what the form sends. The editor lives in a shadow root, where its styles may stand: the page's policy
// lets nothing put styles into the page itself.

import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { HighlightStyle, StreamLanguage, bracketMatching, syntaxHighlighting } from "@codemirror/language";
import { toml } from "@codemirror/legacy-modes/mode/toml";
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

interface Problem {
  readonly message: string;
  readonly mend: string | null;
  readonly line: number | null;
}

const colours = HighlightStyle.define([
  { tag: tags.comment, color: "var(--muted)", fontStyle: "italic" },
  { tag: [tags.propertyName, tags.keyword], color: "var(--accent)" },
  { tag: [tags.string, tags.atom], color: "var(--buffering)" },
  { tag: tags.number, color: "var(--uncertain)" },
]);

const theme = EditorView.theme({
  "&": { fontSize: "0.875rem", backgroundColor: "var(--surface)", color: "var(--text)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.45", minHeight: "24rem", maxHeight: "70dvh", overflow: "auto" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--muted)", borderInlineEnd: "1px solid var(--line)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--sunken)" },
  ".cm-cursor": { borderInlineStartColor: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--accent-ground)",
  },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--text)", border: "1px solid var(--line)" },
  ".cm-diagnostic": { fontFamily: "var(--font)", borderInlineStart: "4px solid var(--bad)", whiteSpace: "pre-wrap" },
});

class TomlEditor extends HTMLElement {
  private view: EditorView | undefined;
  private readonly onHash = (): void => this.goto();

  connectedCallback(): void {
    const field = this.querySelector("textarea");
    if (field === null || this.view !== undefined) return;
    const root = this.attachShadow({ mode: "open" });
    const label = this.querySelector("label")?.textContent ?? "Text";
    const language = /\.csv$/.test(field.form?.querySelector<HTMLInputElement>("[name=name]")?.value ?? "") ? [] : [StreamLanguage.define(toml)];
    this.view = new EditorView({
      parent: root,
      root,
      state: EditorState.create({
        doc: field.value,
        extensions: [
          lineNumbers(),
          lintGutter(),
          history(),
          drawSelection(),
          bracketMatching(),
          highlightActiveLine(),
          ...language,
          syntaxHighlighting(colours),
          theme,
          EditorView.contentAttributes.of({ "aria-label": `${label}. Escape, then Tab leaves the editor.` }),
          keymap.of([
            { key: "Mod-s", run: () => this.save(field) },
            ...defaultKeymap,
            ...historyKeymap,
            ...lintKeymap,
            indentWithTab,
          ]),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) field.value = update.state.doc.toString();
          }),
        ],
      }),
    });
    this.view.scrollDOM.tabIndex = 0; // what scrolls can be scrolled by keyboard
    this.view.dispatch(setDiagnostics(this.view.state, this.problems()));
    addEventListener("hashchange", this.onHash);
    this.goto();
  }

  disconnectedCallback(): void {
    removeEventListener("hashchange", this.onHash);
    this.view?.destroy();
  }

  private save(field: HTMLTextAreaElement): boolean {
    field.form?.requestSubmit();
    return true;
  }

  private problems(): Diagnostic[] {
    const { doc } = this.view!.state;
    const found = JSON.parse(this.dataset["problems"] ?? "[]") as Problem[];
    return found
      .map(({ message, mend, line }) => {
        const { from, to } = doc.line(Math.min(Math.max(1, line ?? 1), doc.lines));
        return { from, to, severity: "error" as const, message: mend ? `${message}\n${mend}` : message };
      })
      .sort((a, b) => a.from - b.from);
  }

  /** To the line that the address names: `#line-12`. */
  private goto(): void {
    const number = Number(/^#line-(\d+)$/.exec(location.hash)?.[1] ?? 0);
    const view = this.view!;
    if (number < 1) return;
    const { from } = view.state.doc.line(Math.min(number, view.state.doc.lines));
    view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
    view.focus();
  }
}

customElements.define("toml-editor", TomlEditor);
