// Run the model of this page: text → ids → logits → answer. Nothing is fetched; all parts are in the page.
const at = id => document.getElementById(id);
const { labels, answer, reader } = JSON.parse(at("data").textContent);
const SHOWN = 10; // labels with a bar, until all are asked for
const REPEATS = 9, ENOUGH_MS = 60; // a text is timed this often, unless that takes longer

async function unpacked(id) {
  const packed = Uint8Array.from(atob(at(id).textContent), letter => letter.charCodeAt(0));
  at(id).remove();
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function imported(id) {
  const address = URL.createObjectURL(new Blob([await unpacked(id)], { type: "text/javascript" }));
  try {
    return await import(address);
  } finally {
    URL.revokeObjectURL(address);
  }
}

const ort = await load(async () => {
  const found = await imported("runtime");
  found.env.wasm.numThreads = 1;
  found.env.wasm.wasmBinary = await unpacked("wasm");
  return found;
});
const session = await load(async () => ort.InferenceSession.create(await unpacked("graph")));
const tokenizer = await load(async () => {
  const { Tokenizer } = await imported("tokenizers");
  return new Tokenizer(JSON.parse(new TextDecoder().decode(await unpacked("tokenizer"))), reader.config);
});

async function load(part) {
  try {
    return await part();
  } catch (error) {
    at("trouble").hidden = false;
    at("trouble").textContent = `The model cannot run in this browser; a newer one may help. (${error})`;
    at("best").textContent = "";
    throw error;
  }
}

// -- text → ids ---------------------------------------------------------------------------------------------

const bare = text => tokenizer.encode(text, { add_special_tokens: false }).ids;

// The ids that the tokenizer puts before, between and after texts: found around a text of one letter.
function template(pair) {
  const whole = tokenizer.encode("a", pair ? { text_pair: "b" } : {}).ids;
  const first = bare("a"), second = pair ? bare("b") : [];
  const starts = (ids, from) => {
    while (ids.some((id, i) => whole[from + i] !== id)) from++;
    return from;
  };
  const one = starts(first, 0), end = one + first.length;
  const two = pair ? starts(second, end) : end;
  return [whole.slice(0, one), whole.slice(end, two), whole.slice(two + second.length)];
}
const templates = reader.words ? [] : [template(false), reader.separator ? template(true) : null];

// As tokenizers do: ids are taken from the longer text first.
function room(first, second, most) {
  let [short, long] = first <= second ? [first, second] : [second, first];
  if (short + long > most) {
    long = short > most ? short : Math.max(short, most - short);
    if (short + long > most) [short, long] = [Math.floor(most / 2), Math.ceil(most / 2)];
  }
  return first <= second ? [short, long] : [long, short];
}

function idsOf(text) {
  if (reader.words) {
    const ids = text ? tokenizer.encode(text).ids.slice(0, reader.longest) : [];
    return ids.length ? ids : [1]; // a text without words is one unknown word
  }
  const named = text.replaceAll(...reader.mask);
  if (reader.mark !== null) return idsOfWords(wordsOf(named));
  const cut = part =>
    reader.characters ? [...part].slice(0, reader.longest * reader.characters).join("") : part;
  const split = reader.separator ? named.indexOf(reader.separator) : -1;
  const parts = split < 0 ? [named] : [named.slice(0, split), named.slice(split + reader.separator.length)];
  const [first, second = []] = parts.map(part => bare(cut(part)));
  const [before, between, after] = templates[parts.length - 1];
  const most = reader.longest - before.length - between.length - after.length;
  const [one, two] = parts.length > 1 ? room(first.length, second.length, most) : [most, 0];
  const ids = [...before, ...first.slice(0, one), ...between, ...second.slice(0, two), ...after];
  return ids.length ? ids : [reader.padding];
}

// The words of a text to tag: what stands between white space, as Python knows it.
const wordsOf = text =>
  text.split(/[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/u).filter(word => word);

// The first id of each word is marked, so that the model has an output for it.
function idsOfWords(words) {
  const [before, , after] = templates[0];
  const ids = words.slice(0, reader.longest).flatMap(word => {
    const letters = [...word], most = reader.characters, half = most >> 1;
    const long = most && letters.length > most;
    const read = long ? [...letters.slice(0, most - half), ...letters.slice(-half)].join("") : word;
    const [first, ...rest] = bare(read).length ? bare(read) : bare(reader.unknown);
    return first === undefined ? [] : [first + reader.mark, ...rest];
  });
  return [...before, ...ids.slice(0, reader.longest - before.length - after.length), ...after];
}

// -- ids → answer -------------------------------------------------------------------------------------------

async function logitsOf(ids) {
  const tensor = values => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
  const every = {
    input_ids: tensor(ids),
    attention_mask: tensor(ids.map(id => (id === reader.padding ? 0 : 1))),
  };
  const given = Object.fromEntries(session.inputNames.map(name => [name, every[name]]));
  return [...(await session.run(given)).logits.data];
}

function softmax(logits) {
  const highest = Math.max(...logits);
  const raised = logits.map(each => Math.exp(each - highest));
  const total = raised.reduce((sum, each) => sum + each, 0);
  return raised.map(each => each / total);
}

// → {best, rows, words, tags, spans: [{start, end, kind, score}]}; an entity is B-kind, then I-kind
function tagged(text, ids, logits) {
  const words = wordsOf(text), spans = [];
  const places = [...ids.keys()].filter(place => ids[place] >= reader.mark);
  const scores = words.map((_, word) => {
    const from = places[word] * labels.length; // a word that was cut off has no output
    return word < places.length ? softmax(logits.slice(from, from + labels.length)) : labels.map(() => 1 / labels.length);
  });
  const best = scores.map(each => each.indexOf(Math.max(...each)));
  const tags = best.map(number => labels[number]);
  tags.forEach((tag, word) => {
    const kind = tag.slice(2), score = scores[word][best[word]], last = spans.at(-1);
    if (tag.startsWith("B-")) spans.push({ start: word, end: word + 1, kind, score });
    else if (tag.startsWith("I-") && last?.end === word && last.kind === kind) {
      last.end = word + 1;
      last.score = Math.min(last.score, score);
    }
  });
  const rows = spans.map(({ start, end, kind, score }) => ({
    label: `${words.slice(start, end).join(" ")}: ${kind}`,
    score,
    chosen: true,
  }));
  return { best: rows.map(row => row.label).join(", ") || "no entity", rows, words, tags, spans };
}

// → {best, rows: [{label, score, chosen}]}, the most probable label first
function read(logits) {
  if (answer.problem === "regression") return { best: logits[0].toPrecision(4), rows: [] };
  const several = answer.problem === "multi_label_classification";
  const highest = Math.max(...logits);
  const scores = several ? logits.map(each => 1 / (1 + Math.exp(-each))) : softmax(logits);
  const rows = scores
    .map((score, i) => ({
      label: labels[i],
      score,
      chosen: several ? score >= (answer.chosen?.[i] ?? answer.threshold) : logits[i] === highest,
    }))
    .sort((one, other) => other.score - one.score);
  return { best: rows.filter(row => row.chosen).map(row => row.label).join(", ") || "no label", rows };
}

async function timed(text) {
  const times = [];
  let ids, logits;
  for (const begin = performance.now(); times.length < REPEATS; ) {
    const start = performance.now();
    ids = idsOf(text);
    logits = await logitsOf(ids);
    times.push(performance.now() - start);
    if (performance.now() - begin > ENOUGH_MS) break;
  }
  times.sort((one, other) => one - other);
  const found = answer.problem ? read(logits) : tagged(text, ids, logits);
  return { ...found, ids, logits, ms: times[times.length >> 1] };
}

// -- the page -----------------------------------------------------------------------------------------------

const percent = share => `${(100 * share).toFixed(1)} %`;
let all = false;

function bar({ label, score, chosen }) {
  const item = document.createElement("li");
  if (chosen) item.className = "chosen";
  const [name, track, value] = ["label", "track", "value"].map(part => {
    const element = document.createElement("span");
    element.className = part;
    return item.appendChild(element);
  });
  name.textContent = label;
  value.textContent = percent(score);
  track.ariaHidden = "true";
  track.appendChild(document.createElement("span")).style.width = `${100 * score}%`;
  return item;
}

// The words of a text, with marks around entities.
function marked(words, spans) {
  const parts = [];
  words.forEach((word, number) => {
    const span = spans.find(({ start, end }) => start <= number && number < end);
    if (!span) parts.push(word, " ");
    else if (span.start === number) {
      const mark = document.createElement("mark"), kind = document.createElement("small");
      mark.textContent = `${words.slice(span.start, span.end).join(" ")} `;
      kind.textContent = span.kind;
      mark.append(kind);
      parts.push(mark, " ");
    }
  });
  return parts;
}

function show({ best, rows, ids, ms, words, spans }) {
  at("best").replaceChildren(...(words ? marked(words, spans) : [best]));
  at("bars").replaceChildren(...rows.slice(0, all ? rows.length : SHOWN).map(bar));
  at("more").hidden = all || rows.length <= SHOWN;
  at("more").textContent = `Show all ${rows.length} labels`;
  const time = ms < 0.1 ? "less than 0.1 ms" : `${ms.toPrecision(2)} ms`;
  at("time").textContent = `${time} for this text of ${ids.length} ${ids.length > 1 ? "tokens" : "token"}, in this browser.`;
}

let waiting = null, busy = false;
async function answered() {
  waiting = at("text").value;
  if (busy) return;
  busy = true;
  try {
    while (waiting !== null) {
      const text = waiting;
      waiting = null;
      if (text.trim()) show(await load(() => timed(text)));
      else {
        for (const id of ["best", "time"]) at(id).textContent = "";
        at("bars").replaceChildren();
        at("more").hidden = true;
      }
    }
  } finally {
    busy = false;
  }
}

at("text").addEventListener("input", answered);
at("more").addEventListener("click", () => {
  all = true;
  answered();
});
for (const button of document.querySelectorAll(".examples button"))
  button.addEventListener("click", () => {
    at("text").value = button.textContent;
    at("text").scrollIntoView({ block: "nearest" });
    answered();
  });
if (!at("text").value) at("text").value = document.querySelector(".examples button")?.textContent ?? "";
window.demo = { idsOf, answer: timed };
await load(() => timed("a")); // the first run of a graph takes far longer
await answered();
document.documentElement.dataset.ready = "";
