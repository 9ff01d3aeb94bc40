// The page: which part of it is shown, deep links, keys, colours.
"use strict";

(() => {
  const { el, count, plural, marks } = longvpo;
  const byId = (id) => document.getElementById(id);
  const main = byId("main");
  const lists = {};
  let tabs = [];
  let shown = ""; // name of the part that is shown
  let list = null;
  longvpo.frames = null; // the strip of the row that is shown

  let timer = 0;
  longvpo.tell = (text, stays = false) => {
    byId("said").hidden = !text;
    byId("said").textContent = text;
    clearTimeout(timer);
    if (!stays) timer = setTimeout(() => { byId("said").hidden = true; }, 8000);
  };
  longvpo.failed = (error) => {
    shown = ""; // what failed is tried again
    longvpo.tell(error.message, true);
  };

  const sign = (mark) => (mark ? { kind: mark, text: mark === "good" ? "✓ good" : "✗ bad" } : null);
  const wider = (index, one, other) => index.words[other][0] - index.words[other][1] - (index.words[one][0] - index.words[one][1]);
  const names = (index, name, place) => index.facets[name].names[index.facets[name].of[place]];

  const views = {
    triplets: {
      label: "The triplet", marks: true, show: (...all) => longvpo.triplet(...all),
      counted: (number) => plural(number, "triplet"),
      link: (index, place) => `#${names(index, "stage", place).replace(" ", "")}/${encodeURIComponent(index.id[place])}`,
      line: (index, place) => `${index.anchor[place] ? `${names(index, "stage", place) === "stage 2" ? "from scene" : "anchor"} ${index.anchor[place]} of ${index.clips[place]}` : plural(index.clips[place], "clip")} · ${index.seconds[place]} s · ${names(index, "rejected", place)}`,
      mark: (index, place) => sign(marks.of(index.id[place])),
      orders: {
        "as built": null,
        "longest context first": (index, one, other) => index.clips[other] - index.clips[one],
        "shortest context first": (index, one, other) => index.clips[one] - index.clips[other],
        "chosen longer than rejected": wider,
        "rejected longer than chosen": (index, one, other) => wider(index, other, one),
      },
      texts: (item) => [item.chosen ?? "", item.rejected ?? "", item.trace ?? ""],
    },
    dropped: {
      label: "The dropped row", show: (...all) => longvpo.dropped(...all),
      counted: (number) => plural(number, "dropped row"),
      link: (index, place) => `#dropped/${place + 1}`,
      line: (index, place) => `${names(index, "filter", place)}${index.score[place] === null ? "" : ` · score ${index.score[place]}`}`,
      mark: () => null,
      orders: {
        "as built": null,
        "highest score first": (index, one, other) => (index.score[other] ?? -Infinity) - (index.score[one] ?? -Infinity) || 0,
        "lowest score first": (index, one, other) => (index.score[one] ?? Infinity) - (index.score[other] ?? Infinity) || 0,
      },
      texts: (item) => [item.reason ?? "", item.chosen ?? "", item.rejected ?? ""],
    },
    answers: {
      label: "The answers", show: (...all) => longvpo.answer(...all),
      counted: (number) => plural(number, "question"),
      link: (index, place) => `#answers/${place + 1}`,
      line: (index, place) => index.replies[place].map(([model, right]) => `${right ? "✓" : "✗"} ${model}`).join(" · "),
      mark: () => null,
      orders: { "as asked": null },
      texts: (item) => item.replies.map(({ reply }) => reply),
    },
  };

  const open = async (part, about) => {
    if (shown === part.name) return;
    shown = part.name;
    list = null; // until its index is here
    longvpo.frames = null;
    [...byId("tabs").children].forEach((link) => (link.hash === `#${part.name}` ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current")));
    main.className = part.table ? "fills" : "";
    if (part.table) {
      const found = lists[part.name] ?? await longvpo.list(longvpo.table(part.name, about.tables[part.name]), views[part.name]);
      lists[part.name] = found;
      if (shown !== part.name) return; // another part was asked for meanwhile
      list = found;
      main.replaceChildren(list.made);
    } else {
      const made = part.make(await longvpo.load(part.data));
      if (shown === part.name) main.replaceChildren(made);
    }
  };

  const decoded = (text) => {
    try {
      return decodeURIComponent(text);
    } catch { // somebody shortened the address
      return text;
    }
  };

  /** Show what the address says: #triplets, #stage1/ID, #dropped/7, #numbers. */
  const route = async (about) => {
    const [name, ...rest] = location.hash.slice(1).split("/");
    const id = decoded(rest.join("/"));
    const part = tabs.find((one) => one.name === (/^stage\d$/.test(name) ? "triplets" : name)) ?? tabs[0];
    if (!part) return;
    await open(part, about);
    if (!list || shown !== part.name) return;
    const place = !id ? -1 : part.name === "triplets" ? list.place(id) : Number(id) - 1;
    if (id && !(place >= 0 && place < list.index.id.length)) longvpo.tell(`There is no ${id} in here.`);
    else if (id) await list.show(place);
    else if (window.innerWidth > 860 && list.first() !== undefined) await list.show(list.first());
    if (!id) list.all();
  };

  const showMarks = () => {
    const many = marks.count();
    byId("save").hidden = !many;
    byId("save").textContent = `Save ${plural(many, "mark")}`;
  };

  const marked = () => (shown === "triplets" ? list?.id() ?? null : null);

  const acts = {
    j: () => list?.step(1), k: () => list?.step(-1),
    ArrowRight: () => longvpo.frames?.step(1), ArrowLeft: () => longvpo.frames?.step(-1),
    l: () => longvpo.frames?.move(1), h: () => longvpo.frames?.move(-1), a: () => longvpo.frames?.toAnchor(),
    g: () => marked() && marks.toggle(marked(), "good"), b: () => marked() && marks.toggle(marked(), "bad"),
    n: () => list?.whenShown(() => byId("note")?.focus()), "/": () => list?.focusSearch(), "?": () => byId("keys").showModal(),
  };

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
    if (event.key === "Escape" && typing) event.target.blur();
    if (typing || event.ctrlKey || event.metaKey || event.altKey || byId("keys").open || !byId("keys-on").checked) return;
    if (!Object.hasOwn(acts, event.key)) return;
    if (event.key.startsWith("Arrow") && event.target.closest(".scroll")) return;
    event.preventDefault();
    acts[event.key]();
  });

  byId("help").onclick = () => byId("keys").showModal();
  byId("save").onclick = () => marks.save();
  byId("theme").onclick = () => {
    longvpo.keep("theme", longvpo.dark() ? "light" : "dark");
    longvpo.paint();
  };
  byId("keys-on").checked = longvpo.kept("keys", true);
  byId("keys-on").onchange = () => longvpo.keep("keys", byId("keys-on").checked);
  longvpo.paint();

  const start = async () => {
    const about = await longvpo.load("about");
    document.title = `${about.name} · longvpo view`;
    byId("name").textContent = about.name;
    longvpo.closed = about.closed;
    if (about.rows) marks.open(about.rows);
    if (about.tables.clips) longvpo.openClips(longvpo.table("clips", about.tables.clips));
    const size = (name) => ` ${count(about.tables[name].count)}`;
    tabs = [
      about.tables.triplets ? { name: "triplets", label: "Triplets", size: size("triplets"), table: true } : null,
      about.tables.dropped ? { name: "dropped", label: "Dropped", size: size("dropped"), table: true } : null,
      about.numbers ? { name: "numbers", label: "Numbers", data: "numbers", make: longvpo.numbers } : null,
      about.results ? { name: "tables", label: "Tables", data: "results", make: longvpo.results } : null,
      about.tables.answers ? { name: "answers", label: "Answers", size: size("answers"), table: true } : null,
    ].filter(Boolean);
    byId("tabs").append(...tabs.map(({ name, label, size: many }) => el("a", { href: `#${name}` }, label, many ? el("span", { class: "many" }, many) : null)));
    marks.listen(showMarks);
    showMarks();
    window.addEventListener("hashchange", () => route(about).catch(longvpo.failed));
    await route(about);
    document.documentElement.dataset.ready = "yes";
  };

  start().catch(longvpo.failed);
})();
