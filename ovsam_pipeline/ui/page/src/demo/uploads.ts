// Images that are dropped on the page or pasted into it.

/** Give image files that are dropped or pasted anywhere to `onFiles`. */
export function listenToFiles(root: HTMLElement, onFiles: (files: readonly File[]) => void): void {
  // A drag enters each element that it passes: only the last one left has left the page.
  let depth = 0;
  const show = (change: number): void => {
    depth = Math.max(0, depth + change);
    root.classList.toggle("is-dropping", depth > 0);
  };
  const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
  document.addEventListener("dragenter", (event) => {
    if (hasFiles(event)) show(1);
  });
  document.addEventListener("dragleave", (event) => {
    if (hasFiles(event)) show(-1);
  });
  document.addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    show(-depth);
    onFiles([...(event.dataTransfer?.files ?? [])]);
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    onFiles(files);
  });
}
