// Good and bad marks with notes: kept in this browser, saved as a file that the card of the dataset reports.
"use strict";

(() => {
  const { el, kept, keep } = longvpo;
  const NOTE = 1000; // characters
  let rows = ""; // hash of the rows that are looked at
  let marks = {};
  let listeners = []; // one that answers false is not asked again

  const store = () => {
    if (!keep(`marks:${rows}`, marks)) longvpo.tell("This browser keeps nothing: save the marks before you leave.");
    listeners = listeners.filter((listener) => listener() !== false);
  };

  const own = (id) => (Object.hasOwn(marks, id) ? marks[id] : null);

  const set = (id, values) => {
    const now = { ...(own(id) ?? {}), ...values };
    if (now.mark || now.note) Object.defineProperty(marks, id, { value: now, enumerable: true, writable: true, configurable: true });
    else delete marks[id];
    store();
  };

  longvpo.marks = {
    open: (hash) => {
      rows = hash;
      marks = kept(`marks:${rows}`, {});
    },
    of: (id) => own(id)?.mark ?? "",
    note: (id) => own(id)?.note ?? "",
    toggle: (id, mark) => set(id, { mark: own(id)?.mark === mark ? "" : mark }),
    write: (id, note) => set(id, { note: note.slice(0, NOTE) }),
    count: () => Object.values(marks).filter((one) => one.mark).length,
    listen: (listener) => listeners.push(listener),
    /** What a file says: only rows with a mark, as a note alone counts nowhere. */
    file: () => ({
      format: "longvpo spot check 1",
      dataset: rows,
      rows: Object.fromEntries(Object.entries(marks).filter(([, one]) => one.mark).map(
        ([id, one]) => [id, one.note ? { mark: one.mark, note: one.note } : { mark: one.mark }])),
    }),
    save: () => {
      const blob = new Blob([JSON.stringify(longvpo.marks.file(), null, 1) + "\n"], { type: "application/json" });
      const link = el("a", { href: URL.createObjectURL(blob), download: "spot_check.json" });
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
      longvpo.tell("Saved as spot_check.json: put it into the dataset’s folder, then run longvpo card on that folder.");
    },
  };

  /** The buttons of a row. */
  longvpo.marker = (id) => {
    const button = (mark, sign, key) => el("button", {
      type: "button", class: `mark ${mark}`, "aria-keyshortcuts": key,
      onclick: () => longvpo.marks.toggle(id, mark),
    }, `${sign} ${mark === "good" ? "Good" : "Bad"}`);
    const buttons = { good: button("good", "✓", "g"), bad: button("bad", "✗", "b") };
    const note = el("input", {
      type: "text", id: "note", maxLength: NOTE, value: longvpo.marks.note(id), placeholder: "A note (not needed)",
      "aria-label": "Note on this row", dir: "auto", onchange: () => longvpo.marks.write(id, note.value.trim()),
    });
    const show = () => Object.entries(buttons).forEach(
      ([mark, one]) => one.setAttribute("aria-pressed", String(longvpo.marks.of(id) === mark)));
    show();
    const made = el("div", { class: "marker", role: "group", "aria-label": "Your mark" }, buttons.good, buttons.bad, note);
    longvpo.marks.listen(() => made.isConnected && (show(), true));
    return made;
  };
})();
