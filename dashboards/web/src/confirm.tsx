import { useEffect, useRef } from 'preact/hooks';
import { useGuarded } from './guarded.ts';
import { Problem } from './parts.tsx';

/** Asks before something is deleted, and says what stays. */
export function ConfirmDelete({ name, children, remove, close }: { name: string; children: string; remove: () => Promise<unknown>; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const { busy, error, attempt } = useGuarded();
  useEffect(() => dialog.current?.showModal(), []);
  const confirmed = async (): Promise<void> => { if (await attempt(remove)) close(); };
  return (
    <dialog ref={dialog} aria-labelledby="confirm-delete" onClose={close}>
      <h2 id="confirm-delete">Delete {name}?</h2>
      <p>{children}</p>
      {error && <Problem error={error} />}
      <div class="row">
        <button type="button" class="danger" disabled={busy} onClick={() => void confirmed()}>Delete it</button>
        <button type="button" class="quiet" onClick={() => dialog.current?.close()}>Keep it</button>
      </div>
    </dialog>
  );
}
