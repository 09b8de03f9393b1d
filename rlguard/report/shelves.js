// The data: columns at once, texts in chunks of which only those that are shown are inflated.

const byId = (id) => document.getElementById(id);
const whole = new Promise((resolve) => { if (document.readyState === "loading") addEventListener("DOMContentLoaded", resolve); else resolve(); });

async function inflate(id) {
  let node = byId(id);
  if (!node || !node.nextElementSibling) {  // the file is still being read
    await whole;
    node = byId(id);
  }
  const letters = atob(node.textContent), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);  // many times as fast as Uint8Array.from
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

// starts: the number of each chunk's first item.
function shelf(name, starts) {
  const held = new Map();  // the chunks used last
  async function chunk(place, keep = true) {
    let items = held.get(place);
    held.delete(place);
    if (!items) items = inflate(`${name}-${place}`);
    if (keep) held.set(place, items);
    if (held.size > 24) held.delete(held.keys().next().value);
    return items;
  }
  function placeOf(number) {
    let low = 0, high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= number) low = middle; else high = middle - 1;
    }
    return low;
  }
  return {
    async get(number) {
      const place = placeOf(number);
      return (await chunk(place))[number - starts[place]];
    },
    // Calls found(item, number) for every item, a chunk at a time, as long as going() says so.
    async each(found, going) {
      const fetch = (place) => (place < starts.length ? chunk(place, starts.length <= 24) : null);
      let coming = fetch(0);
      for (let place = 0; place < starts.length && going(place / starts.length); place++) {
        const items = await coming;
        coming = fetch(place + 1);  // is inflated while this one is read
        items.forEach((item, i) => found(item, starts[place] + i));
      }
    },
  };
}
