// Data: scripts that call longvpo.part, loaded when they are needed, as a page on a disk can fetch no file.
"use strict";

(() => {
  const waiting = new Map(); // name -> what takes the value
  const loaded = new Map(); // name -> a promise of the value

  longvpo.part = (name, text) => {
    const take = waiting.get(name);
    waiting.delete(name);
    if (take) take(JSON.parse(text));
  };

  /** The value of a part. */
  longvpo.load = (name) => {
    if (!loaded.has(name)) {
      loaded.set(name, new Promise((resolve, reject) => {
        waiting.set(name, resolve);
        const script = longvpo.el("script", { src: `data/${name}.js` });
        script.onload = () => {
          script.remove();
          if (waiting.has(name)) script.onerror();
        };
        script.onerror = () => {
          loaded.delete(name); // asked for again, it is loaded again
          reject(new Error(`data/${name}.js is missing or damaged: make the page again`));
        };
        document.head.append(script);
      }));
    }
    return loaded.get(name);
  };

  /** The items of a table, each with its neighbours in one part. */
  longvpo.table = (name, { count, size }) => {
    const part = (number) => longvpo.load(`${name}-${String(number).padStart(4, "0")}`);
    return {
      name,
      count,
      index: () => longvpo.load(name),
      item: async (place) => (await part(Math.floor(place / size)))[place % size],
      /** All items, part by part; `tell` is told how many there are. */
      all: async (tell) => {
        const items = [];
        for (let number = 0; number * size < count; number += 1) {
          items.push(...(await part(number)));
          tell(items.length);
        }
        return items;
      },
    };
  };
})();
