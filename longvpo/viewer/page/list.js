// A table as a list with filters, an order, a search and pages, beside one item of it.
"use strict";

(() => {
  const { el, said, count } = longvpo;
  const PAGE = 50; // items of a page

  /**
   * @param table of longvpo.table
   * @param view label; line(index, place): what stands below an item's text; mark(index, place): a sign before it;
   *   orders: name -> compare(index) of two places; show(item, index, place): an element; link(index, place): its
   *   address; marks: whether items can be marked
   */
  longvpo.list = async (table, view) => {
    const index = await table.index();
    const facets = Object.entries(index.facets).filter(([, facet]) => facet.names.length > 1);
    const texts = index.text.map((text, place) => `${text}\n${index.id[place]}`.toLowerCase());
    let deep = false; // whether the search looks at all texts of an item
    let found = index.id.map((_, place) => place);
    let page = 0;
    let chosen = -1;
    let there = -1; // the one that is shown; it follows `chosen` when its part has come
    let then = null; // what waits for it
    let turn = 0; // of what is shown: a slow part must not overtake a quick one

    const status = el("p", { class: "status", role: "status" });
    const items = el("ol", { class: "items" });
    const aside = el("section", { class: "item", "aria-label": view.label, tabIndex: -1 });
    const search = el("input", { type: "search", id: "search", placeholder: "Search", "aria-label": "Search texts and ids", "aria-keyshortcuts": "/" });
    const picks = facets.map(([name, facet]) => {
      const sizes = new Array(facet.names.length).fill(0);
      facet.of.forEach((number) => { sizes[number] += 1; });
      const order = facet.names.map((_, number) => number).sort((one, other) => compare(facet.names[one], facet.names[other]));
      const options = order.map((number) => el("option", { value: String(number) }, `${facet.names[number] || "none"} (${count(sizes[number])})`));
      return { name, facet, select: el("select", {}, el("option", { value: "" }, "any"), options) };
    });
    const marked = el("select", {}, ...["any", "good", "bad", "not marked"].map((name) => el("option", { value: name }, name)));
    const ordered = el("select", {}, ...Object.keys(view.orders).map((name) => el("option", { value: name }, name)));
    const field = (name, select) => el("label", { class: "field" }, el("span", {}, name), select);
    const summary = el("summary", {}, "Filters");
    const filters = el("details", { class: "filters", open: window.innerWidth > 860 }, summary,
      el("div", { class: "fields" }, picks.map(({ name, select }) => field(name, select)),
        view.marks ? field("your mark", marked) : null,
        Object.keys(view.orders).length > 1 ? field("order", ordered) : null,
        el("button", { type: "button", class: "reset", onclick: () => reset() }, "Clear filters")));
    const back = el("button", { type: "button", "aria-label": "Page before", onclick: () => turnTo(page - 1) }, "‹");
    const spoken = el("p", { class: "hidden", role: "status" }); // tells a screen reader which item is shown
    const next = el("button", { type: "button", "aria-label": "Next page", onclick: () => turnTo(page + 1) }, "›");
    const where = el("span", { class: "where" });
    const pager = el("nav", { class: "pager", "aria-label": "Pages" }, back, where, next);
    const panel = el("div", { class: "panel" }, el("div", { class: "search" }, search), filters, status, items, pager, spoken);
    const made = el("div", { class: "split", hidden: false }, panel, aside);

    const filter = () => {
      const active = picks.filter(({ select }) => select.value !== "");
      const words = search.value.trim().toLowerCase();
      found = [];
      for (let place = 0; place < texts.length; place += 1) {
        if (active.every(({ facet, select }) => facet.of[place] === Number(select.value))
          && (!view.marks || marked.value === "any" || (longvpo.marks.of(index.id[place]) || "not marked") === marked.value)
          && (!words || texts[place].includes(words))) found.push(place);
      }
      const order = view.orders[ordered.value];
      if (order) found.sort((one, other) => order(index, one, other) || one - other);
      const set = active.length + (marked.value !== "any" ? 1 : 0);
      summary.textContent = set ? `Filters (${set} set)` : "Filters";
      status.textContent = found.length === texts.length ? view.counted(found.length)
        : `${count(found.length)} of ${view.counted(texts.length)}`;
      turnTo(0);
    };

    const reset = () => {
      picks.forEach(({ select }) => { select.value = ""; });
      marked.value = "any";
      search.value = "";
      filter();
    };

    const turnTo = (number) => {
      const pages = Math.max(Math.ceil(found.length / PAGE), 1);
      page = Math.min(Math.max(number, 0), pages - 1);
      items.replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map(entry));
      if (!found.length) items.append(el("li", { class: "empty" }, "Nothing is left of these filters. ",
        el("button", { type: "button", onclick: reset }, "Clear filters")));
      items.scrollTop = 0;
      where.textContent = `Page ${count(page + 1)} of ${count(pages)}`;
      back.disabled = page === 0;
      next.disabled = page === pages - 1;
      pager.hidden = pages === 1;
    };

    const entry = (place) => {
      const link = el("a", { href: view.link(index, place), class: "entry" }, el("span", { class: "sign" }),
        said("span", index.text[place], "text"), said("span", view.line(index, place), "line"));
      if (place === chosen) link.setAttribute("aria-current", "true");
      return sign(el("li", { value: place + 1 }, link));
    };

    /** Show an entry's mark. */
    const sign = (item) => {
      const mark = view.mark(index, item.value - 1);
      const shown = item.querySelector(".sign");
      shown.hidden = !mark;
      shown.className = `sign ${mark?.kind ?? ""}`;
      shown.textContent = mark?.text ?? "";
      return item;
    };

    const show = async (place) => {
      chosen = place;
      const mine = (turn += 1);
      const at = found.indexOf(place);
      if (at >= 0 && Math.floor(at / PAGE) !== page) turnTo(Math.floor(at / PAGE));
      items.querySelectorAll("[aria-current]").forEach((one) => one.removeAttribute("aria-current"));
      const entered = [...items.children].find((one) => one.value === place + 1)?.firstChild;
      entered?.setAttribute("aria-current", "true");
      entered?.scrollIntoView({ block: "nearest" });
      made.classList.add("one");
      const shown = await view.show(await table.item(place), index, place);
      if (mine !== turn) return;
      const moves = el("div", { class: "moves" },
        el("a", { class: "back", href: `#${table.name}` }, "‹ All"),
        el("button", { type: "button", "aria-keyshortcuts": "k", disabled: at === 0, onclick: () => step(-1) }, "‹ Previous"),
        el("button", { type: "button", "aria-keyshortcuts": "j", disabled: at === found.length - 1, onclick: () => step(1) }, "Next ›"),
        el("span", { class: "quiet id" }, index.id[place]));
      aside.replaceChildren(moves, shown);
      aside.scrollTop = 0;
      spoken.textContent = index.text[place];
      there = place;
      then?.();
      then = null;
      if (window.innerWidth <= 860) {
        window.scrollTo(0, 0);
        aside.focus({ preventScroll: true });
      }
    };

    const step = (by) => {
      const at = found.indexOf(chosen);
      const to = found[at < 0 ? 0 : at + by];
      if (to === undefined) return;
      chosen = to; // at once, as the next key may come before the item is shown
      location.hash = view.link(index, to);
    };

    const searchDeep = async () => {
      if (deep || !view.texts || search.value.trim().length < 2) return;
      deep = true;
      const all = await table.all((number) => {
        status.textContent = `searching in ${count(number)} of ${count(table.count)} …`;
      });
      all.forEach((item, place) => { texts[place] += `\n${view.texts(item).join("\n")}`.toLowerCase(); });
      filter();
    };

    let timer = 0;
    search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => { filter(); searchDeep().catch(longvpo.failed); }, 150);
    });
    [...picks.map(({ select }) => select), marked, ordered].forEach((one) => one.addEventListener("change", filter));
    longvpo.marks.listen(() => { [...items.children].filter((one) => one.querySelector(".sign")).forEach(sign); });
    filter();
    return {
      made, step, show, index,
      focusSearch: () => { search.focus(); search.select(); },
      place: (id) => index.id.indexOf(id),
      /** Act on the chosen item, as soon as it is shown. */
      whenShown: (act) => { if (there === chosen) act(); else then = act; },
      first: () => found[0],
      id: () => index.id[chosen] ?? null,
      all: () => made.classList.remove("one"),
    };
  };

  const compare = (one, other) => one.localeCompare(other, "en", { numeric: true });
})();
