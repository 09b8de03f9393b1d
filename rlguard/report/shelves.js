// The data: columns at once, texts in chunks of which only those that are shown are inflated.

const byId = (id) => document.getElementById(id);
const whole = new Promise((resolve) => { if (document.readyState === "loading") addEventListener("DOMContentLoaded", resolve); else resolve(); });

async function inflate(id) {
  let node = byId(id);
  if (!node || !node.nextElementSibling) {  // the file is still being read
    await whole;
    node = byId(id);
  }
  const bytes = Uint8Array.from(atob(node.textContent), (letter) => letter.charCodeAt(0));
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
      for (let place = 0; place < starts.length && going(place / starts.length); place++) {
        (await chunk(place, starts.length <= 24)).forEach((item, i) => found(item, starts[place] + i));
      }
    },
  };
}
