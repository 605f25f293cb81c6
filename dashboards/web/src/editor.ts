import { autocompletion, type Completion, type CompletionContext, type CompletionResult, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { PostgreSQL, sql } from '@codemirror/lang-sql';
import { bracketMatching, HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { EditorState } from '@codemirror/state';
import { drawSelection, EditorView, keymap, lineNumbers, placeholder } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { api } from './api.ts';

export interface SqlEditor {
  text(): string;
  setText(text: string): void;
  /** Puts a text where the cursor is, in place of what is selected. */
  insert(text: string): void;
  focus(): void;
  destroy(): void;
}

interface Suggested {
  readonly from: number;
  readonly suggestions: readonly { readonly label: string; readonly kind: 'table' | 'column' | 'function' | 'keyword'; readonly detail: string }[];
}

const types = { table: 'class', column: 'property', function: 'function', keyword: 'keyword' } as const;
// Tables and columns before functions, functions before keywords.
const boosts = { column: 3, table: 2, function: 1, keyword: 0 } as const;

/** An editor for SQL that knows the lake's tables. Tab leaves it, as in every other field; Ctrl+Enter runs. */
export function createEditor(parent: HTMLElement, labelId: string, text: string, on: { run(): void; change(text: string): void }): SqlEditor {
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: text,
      extensions: [
        keymap.of([{ key: 'Mod-Enter', run: () => { on.run(); return true; } }]),
        lineNumbers(), history(), drawSelection(), bracketMatching(), EditorView.lineWrapping, placeholder('select … from lake.posts'),
        sql({ dialect: PostgreSQL }), syntaxHighlighting(colors),
        autocompletion({ override: [suggest], icons: false, closeOnBlur: true }),
        keymap.of([...completionKeymap, ...defaultKeymap, ...historyKeymap]),
        EditorView.contentAttributes.of({ 'aria-labelledby': labelId, spellcheck: 'false', autocapitalize: 'off' }),
        EditorView.updateListener.of((update) => { if (update.docChanged) on.change(update.state.doc.toString()); }),
        theme,
      ],
    }),
  });
  return {
    text: () => view.state.doc.toString(),
    setText(next) {
      if (next !== view.state.doc.toString()) view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: next } });
    },
    insert(piece) {
      view.dispatch(view.state.replaceSelection(piece));
      view.focus();
    },
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}

/** Asks the server, which knows the tables and where in the statement the cursor stands. */
async function suggest(context: CompletionContext): Promise<CompletionResult | null> {
  const before = context.matchBefore(/[\w"]*/);
  if (!context.explicit && before?.text === '' && context.state.sliceDoc(context.pos - 1, context.pos) !== '.') return null;
  const stop = new AbortController();
  context.addEventListener('abort', () => stop.abort());
  const found = await api<Suggested>('/api/complete', {
    method: 'POST', headers: { 'content-type': 'application/json' }, signal: stop.signal,
    body: JSON.stringify({ sql: context.state.doc.toString(), position: context.pos }),
  }).catch(() => undefined); // a suggestion that does not come is no reason to disturb who writes
  // Who has gone on to something else is not called back by a list.
  if (found === undefined || found.suggestions.length === 0 || context.view?.hasFocus === false) return null;
  const options = found.suggestions.map(({ label, kind, detail }): Completion => ({ label, type: types[kind], detail: detail.slice(0, 60), boost: boosts[kind] }));
  return { from: found.from, options, validFor: /^[\w"]*$/ };
}

const colors = HighlightStyle.define([
  { tag: tags.keyword, class: 'sql-keyword' }, { tag: [tags.string, tags.special(tags.string)], class: 'sql-string' },
  { tag: tags.number, class: 'sql-number' }, { tag: tags.comment, class: 'sql-comment' },
]);

const theme = EditorView.theme({
  '&': { backgroundColor: 'var(--paper)', color: 'var(--ink)', border: '1px solid var(--line)', borderRadius: '.4rem', fontSize: '.93rem' },
  '&.cm-focused': { outline: '3px solid var(--accent)', outlineOffset: '1px' },
  '.cm-scroller': { fontFamily: 'ui-monospace, monospace', minHeight: '9rem', maxHeight: '24rem', overflow: 'auto' },
  '.cm-content': { caretColor: 'var(--ink)' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)' },
  '.cm-gutters': { backgroundColor: 'transparent', color: 'var(--soft)', border: 'none' },
  '&.cm-focused .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'color-mix(in srgb, var(--accent) 30%, transparent) !important' },
  '.cm-tooltip': { backgroundColor: 'var(--card)', color: 'var(--ink)', border: '1px solid var(--line)' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': { backgroundColor: 'var(--accent)', color: 'var(--accent-ink)' },
  '.cm-placeholder': { color: 'var(--soft)' },
  '.cm-completionDetail': { fontStyle: 'normal', opacity: 0.8 },
});
