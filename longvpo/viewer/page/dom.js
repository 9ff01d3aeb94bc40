// Elements, and what is kept in this browser. The rule: a text becomes a text node, and nothing else.
"use strict";

const longvpo = {};

(() => {
  /** An element. `more` sets properties; its keys `class`, `data` and those with a dash are attributes. */
  longvpo.el = (tag, more = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(more)) {
      if (value === undefined || value === null) continue;
      if (name === "class") made.className = value;
      else if (name === "role" || name === "colspan" || name === "scope" || name.includes("-")) made.setAttribute(name, value);
      else made[name] = value;
    }
    made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
    return made;
  };

  /** A text of a row: in its own direction, on its own lines. */
  longvpo.said = (tag, text, kind = "") => longvpo.el(tag, { class: kind, dir: "auto", textContent: text });

  /** A value in this browser; a browser may refuse to keep any. */
  longvpo.kept = (name, otherwise) => {
    try {
      const found = localStorage.getItem(`longvpo-view:${name}`);
      return found === null ? otherwise : JSON.parse(found);
    } catch {
      return otherwise;
    }
  };

  longvpo.keep = (name, value) => {
    try {
      localStorage.setItem(`longvpo-view:${name}`, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  };

  longvpo.count = (number) => number.toLocaleString("en");
  longvpo.plural = (number, one, many = `${one}s`) => `${longvpo.count(number)} ${number === 1 ? one : many}`;

  const wide = window.matchMedia("(prefers-color-scheme: dark)");
  longvpo.dark = () => (longvpo.kept("theme", null) ?? (wide.matches ? "dark" : "light")) === "dark";
  longvpo.paint = () => {
    document.documentElement.dataset.theme = longvpo.dark() ? "dark" : "light";
    const button = document.getElementById("theme");
    if (button) {
      button.textContent = longvpo.dark() ? "Light" : "Dark";
      button.setAttribute("aria-label", `${button.textContent} colours`);
    }
  };
  wide.addEventListener("change", longvpo.paint);
  longvpo.paint();
})();
