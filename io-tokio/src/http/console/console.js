// The console of a node: asks for an overview every two seconds, and shows it.

import { draw, shownSpan } from "./charts.js";
import { at, bytes, clock, count, counted, encoded, fill, make, micros, moment, raw, short, shown, span, written } from "./view.js";

const STEP = 2000;
const MOST_LINES = 400;
const TOKEN = "token";
const seen = { line: 0, sample: 0, samples: [], lines: [] };
let timer;

// ---- the token: out of the link, and then in no address, cookie or log

const given = new URLSearchParams(location.hash.slice(1)).get(TOKEN);
if (given) {
  sessionStorage.setItem(TOKEN, given);
  history.replaceState(null, "", "/");
}

class Locked extends Error {}
class NotNow extends Error {}

async function ask(path, options = {}) {
  const token = sessionStorage.getItem(TOKEN);
  if (!token) throw new Locked("");
  const headers = { Authorization: `Bearer ${token}` };
  const answer = await fetch(path, { ...options, headers, cache: "no-store", signal: AbortSignal.timeout(15000) });
  if (answer.status === 401) {
    sessionStorage.removeItem(TOKEN);
    throw new Locked("That is not the token of this node.");
  }
  const isJson = answer.headers.get("content-type")?.startsWith("application/json");
  const body = isJson ? await answer.json() : null;
  if (answer.status === 503) throw new NotNow(body?.error?.message);
  if (!answer.ok) throw new Error(body?.error?.message ?? `HTTP ${answer.status}`);
  return body.schema ? body.data : body;
}

at("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, at("token").value.trim());
  at("token").value = "";
  turn();
});

// ---- the round

async function turn() {
  clearTimeout(timer);
  try {
    const overview = await ask(`/v1/console?lines=${seen.line}&history=${seen.sample}`);
    // A node that was started again counts its lines anew.
    if (seen.started && seen.started !== overview.node.started_at_ms) location.reload();
    seen.started = overview.node.started_at_ms;
    const first = at("open").hidden;
    at("locked").hidden = true;
    at("open").hidden = false;
    show(overview);
    if (first) find();
  } catch (error) {
    if (error instanceof Locked) {
      at("locked").hidden = false;
      at("open").hidden = true;
      at("refused").textContent = error.message;
      state("waiting", "locked");
      return;
    }
    state(error instanceof NotNow ? "waiting" : "gone", error instanceof NotNow ? "not open yet" : "no answer");
  }
  timer = setTimeout(turn, document.hidden ? STEP * 5 : STEP);
}

document.addEventListener("visibilitychange", () => !document.hidden && at("locked").hidden && turn());

function state(name, text) {
  at("state").dataset.state = name;
  at("state").textContent = text;
}

const STATE_TEXTS = { ready: "ready", no_room: "no room on the disk", degraded: "degraded", closing: "closing" };

function show({ node, status, doubt, peers, found, outbox, conflicts, history: samples, lines }) {
  document.title = `${node.node_id} · Softadastra`;
  at("name").textContent = node.node_id;
  at("identity").textContent =
    `replica ${node.replica_id.slice(0, 8)} · version ${node.version} · ${node.os} · up for ${span(node.uptime_ms)}`;
  // It may take writes, and not be ready all the same.
  if (status.state === "ready" && doubt) state("doubtful", doubt);
  else state(status.state, STATE_TEXTS[status.state] ?? status.state);
  seen.samples.push(...samples);
  seen.samples = seen.samples.slice(-300);
  seen.sample = seen.samples.at(-1)?.at_ms ?? 0;
  tiles(status, peers, conflicts);
  charts();
  showPeers(peers);
  showFound(status.discovery, found);
  showOutbox(outbox);
  showConflicts(conflicts);
  details(node, status);
  showLines(lines);
}

function tiles(status, { peers }, conflicts) {
  const linked = peers.filter((peer) => peer.state === "connected").length;
  const { queued, in_flight: inFlight, failed } = status.delivery;
  const all = [
    ["Keys", count(status.keys)],
    ["Data", bytes(status.live_bytes)],
    ["Peers linked", `${linked} of ${peers.length}`, peers.length > 0 && linked === 0 ? "warn" : ""],
    ["Not yet delivered", count(queued + inFlight + failed), failed > 0 ? "bad" : ""],
    ["Open conflicts", count(conflicts.open), conflicts.open > 0 ? "warn" : ""],
  ];
  fill(at("tiles"), all, () => all.map(([name, value, tone]) =>
    make("div", { class: "tile", "data-tone": tone }, make("b", {}, value), make("span", {}, name))));
}

// ---- charts

const CHARTS = [
  { name: "Writes per second", tone: "a", of: (sample) => sample.writes, text: (value) => value.toFixed(1) },
  { name: "From peers, per second", tone: "c", of: (sample) => sample.taken, text: (value) => value.toFixed(1) },
  { name: "Time of a write", tone: "b", of: (sample) => sample.write_us ?? null, text: (value) => micros(Math.round(value)) },
  { name: "Not yet delivered", tone: "d", of: (sample) => Math.max(sample.outbox, sample.lag), text: (value) => count(value) },
];

function charts() {
  if (!at("charts").children.length) {
    for (const chart of CHARTS) {
      chart.label = make("b", {}, "–");
      chart.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      chart.svg.setAttribute("class", "chart");
      chart.svg.setAttribute("role", "img");
      chart.peak = make("p", { class: "quiet peak" });
      at("charts").append(make("figure", {}, make("figcaption", {}, chart.name, chart.label), chart.svg, chart.peak));
    }
  }
  const now = seen.samples.at(-1)?.at_ms ?? Date.now();
  const minutes = Math.round(shownSpan(seen.samples.map((sample) => [sample.at_ms]), now) / 60000);
  at("h-charts").textContent = minutes > 1 ? `The last ${minutes} minutes` : "The last minute";
  for (const { of, text, tone, svg, label, peak, name } of CHARTS) {
    const points = seen.samples.map((sample) => [sample.at_ms, of(sample)]);
    const last = points.at(-1)?.[1] ?? null;
    label.textContent = last === null ? "–" : text(last);
    svg.setAttribute("aria-label", `${name}: ${label.textContent}`);
    const most = draw(svg, points, tone, now);
    peak.textContent = most === null ? "nothing yet" : `most: ${text(most)}`;
  }
}

// ---- peers

const TONES = { connected: "good", connecting: "warn", stale: "warn", expired: "bad", faulted: "bad" };

function showPeers({ transport, accepted, peers }) {
  at("peers-count").textContent = peers.length ? count(peers.length) : "";
  const listening = transport.listening.length
    ? `Links are taken at ${transport.listening.join(", ")}.`
    : "This node dials; it takes no links.";
  at("transport").textContent = transport.running ? listening : transport.error ?? "No links are opened.";
  const row = (peer) => {
    const flow = peer.sync;
    const trouble = peer.last_error && peer.state !== "connected" ? peer.last_error : null;
    const skewed = flow && Math.abs(flow.clock_ahead_ms) > 60000 ? `its clock is off by ${span(Math.abs(flow.clock_ahead_ms))}` : "";
    const number = flow ? "number" : "number none";
    const cell = (name, className, content) => make("td", { class: className, "data-name": name }, content);
    return make("tr", {},
      cell("", "peer", peer.node_id ?? peer.addresses[0] ?? short(peer.public_key ?? "?", 12)),
      cell("", "", make("span", { class: "pill", "data-tone": TONES[peer.state] }, peer.held ? "held" : peer.state)),
      cell("Lag", number, flow ? (flow.lag >= 10000 ? "10,000+" : count(flow.lag)) : "–"),
      cell("Holds", number, flow ? `${count(flow.holds)} of ${count(accepted)}` : "–"),
      cell("Round trip", number, micros(peer.round_trip_us)),
      cell("", trouble?.needs_operator ? "trouble bad" : "trouble", trouble ? short(trouble.message, 140) : skewed));
  };
  const key = peers.map(({ up_ms: _up, silent_ms: _silent, next_dial_ms: _next, ...rest }) => rest);
  const none = "No peer is known. `softadastra ticket` here and `softadastra join` there bring two nodes together.";
  fill(at("peers").tBodies[0], [key, accepted], () => (peers.length ? peers.map(row) : [empty(6, none)]));
}

const empty = (columns, text) => make("tr", {}, make("td", { class: "empty", colspan: columns }, text));

// ---- found nodes

const MODES = { announce: "This node announces itself and hears others", listen: "This node hears others and is seen by nobody" };
const FOUND_TONES = { available: "good", stale: "warn", expired: "bad" };

function showFound({ running, mode, error, auto_connect: dials }, { total, nodes }) {
  at("found-count").textContent = total ? count(total) : "";
  const dialled = dials ? "; whoever is found is dialled" : "";
  at("discovery").textContent = running
    ? error ? `Hindered: ${error.message}. ${error.next}` : `${MODES[mode] ?? mode}${dialled}.`
    : "Discovery is off: addresses are given by hand.";
  at("discovery").classList.toggle("bad", Boolean(running && error));
  at("found-box").hidden = !running && !nodes.length;
  const row = (found) => make("tr", {},
    make("td", { class: "peer" }, found.node_id),
    make("td", {}, make("span", { class: "pill", "data-tone": FOUND_TONES[found.state] }, found.state)),
    make("td", { class: "link" }, found.connected ? "linked" : "–"),
    make("td", { class: "key" }, found.addresses.join(", ") || "takes no links"));
  const key = nodes.map(({ node_id: name, state: how, connected, addresses }) => [name, how, connected, addresses]);
  const none = "Nobody is heard. Only nodes of this network are found.";
  fill(at("found").tBodies[0], key, () => (nodes.length ? nodes.map(row) : [empty(4, none)]));
}

// ---- outbox

const STATES = [["acknowledged", "delivered"], ["in_flight", "in flight"], ["queued", "queued"], ["failed", "failed"]];

function showOutbox({ delivery }) {
  fill(at("bar"), delivery, () => STATES.filter(([name]) => delivery[name] > 0).map(([name]) => {
    const part = make("i", { class: name });
    part.style.flexGrow = delivery[name];
    return part;
  }));
  at("bar").setAttribute("aria-label", `${delivery.acknowledged} of ${delivery.accepted} delivered`);
  fill(at("legend"), delivery, () => STATES.map(([name, text]) =>
    make("li", {}, make("i", { class: name }), text, make("b", {}, count(delivery[name])))));
  at("outbox-reason").textContent = delivery.reason ? `Not delivered after many tries: ${delivery.reason}. It is kept, and tried on.` : "";
}

at("retry").addEventListener("click", async () => {
  at("retry").disabled = true;
  try {
    const { retried } = await ask("/v1/sync/retry", { method: "POST" });
    at("retried").textContent = retried ? `${count(retried)} queued again; every peer is dialled.` : "Every peer is dialled.";
  } catch (error) {
    at("retried").textContent = error.message;
  }
  at("retry").disabled = false;
  turn();
});

// ---- conflicts

function showConflicts({ total, open, conflicts, left_out: leftOut }) {
  at("conflicts-count").textContent = total ? `${count(open)} open, ${count(total)} in all` : "";
  fill(at("conflicts"), [conflicts, leftOut], () => (conflicts.length
    ? conflicts.map((conflict) => showConflict(conflict, leftOut[conflict.id]))
    : [make("p", { class: "quiet" }, "No two writes have met that had not seen each other.")]));
}

function showConflict(conflict, left = [0, 0]) {
  const note = make("span", { class: "bad", role: "alert" });
  const settle = async (how, body) => {
    for (const button of box.querySelectorAll("button")) button.disabled = true;
    try {
      await ask(`/v1/conflicts/resolve?id=${conflict.id}&with=${how}`, { method: "POST", body });
      await turn();
    } catch (error) {
      note.textContent = error.message;
      for (const button of box.querySelectorAll("button")) button.disabled = false;
    }
  };
  const side = (version, won, length) => {
    const tooLong = `${bytes(length)}: see softadastra conflicts show ${conflict.id}`;
    const value = version.removed ? "(removed)" : length ? tooLong : shown(version, "value");
    const other = () => (version.removed ? settle("delete") : settle("value", raw(version, "value")));
    const who = version.node_id ?? version.replica_id.slice(0, 8);
    const offered = conflict.outcome === "open" && (won || !length);
    return make("div", { class: won ? "side won" : "side" },
      make("p", { class: "quiet" }, `${who} · ${moment(written(version.stamp))}${won ? " · chosen" : ""}`),
      make("pre", {}, value),
      offered ? make("button", { type: "button", class: won ? "main" : "", on: won ? () => settle("winner") : other }, "Keep this") : null);
  };
  const box = make("div", { class: "conflict", "data-id": conflict.id },
    make("h3", {}, make("code", {}, shown(conflict, "key")),
      make("span", { class: "pill", "data-tone": conflict.outcome === "open" ? "warn" : "" }, conflict.outcome),
      note),
    make("div", { class: "sides" }, side(conflict.winner, true, left[0]), side(conflict.loser, false, left[1])));
  return box;
}

// ---- keys

const PAGE = 20;
let after;

async function find(more = false) {
  const body = at("keys").tBodies[0];
  const prefix = encoded(new TextEncoder().encode(at("prefix").value));
  const from = more && after ? `&after=${encoded(after)}` : "";
  try {
    const { records, more: follows } = await ask(`/v1/store/list?limit=${PAGE}&prefix=${prefix}${from}`);
    const rows = records.map((record) => make("tr", {},
      make("td", { class: "key" }, shown(record, "key")),
      make("td", { class: "value" }, short(shown(record, "value"), 240)),
      make("td", { class: "number" }, count(record.version)),
      make("td", { class: "when" }, moment(written(record.stamp)))));
    if (more) body.append(...rows);
    else body.replaceChildren(...(rows.length ? rows : [empty(4, "No key begins so.")]));
    after = records.length ? raw(records.at(-1), "key") : after;
    at("more").hidden = !follows;
    const shownNow = body.querySelectorAll("td.key").length;
    at("keys-note").textContent = shownNow ? `${count(shownNow)} shown${follows ? ", there are more" : ""}` : "";
  } catch (error) {
    at("keys-note").textContent = error.message;
  }
}

at("search").addEventListener("submit", (event) => {
  event.preventDefault();
  find();
});
at("more").addEventListener("click", () => find(true));

// ---- the rest

function rows(list, pairs) {
  const kept = pairs.filter(([, value]) => value);
  fill(list, kept, () => kept.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function details(node, status) {
  const { recovery } = node;
  const wal = status.wal;
  rows(at("log"), [
    ["Directory", node.data_dir],
    ["Log", wal && `${bytes(wal.bytes)} in ${counted(wal.segments, "segment")}`],
    ["Durable up to", wal && `LSN ${count(wal.durable_lsn)} of ${count(wal.last_lsn)}`],
    ["Snapshot", wal && (wal.snapshot_lsn ? `${bytes(wal.snapshot_bytes)}, at LSN ${count(wal.snapshot_lsn)}` : "none yet")],
    ["To replay", wal && bytes(wal.tail_bytes)],
    ["Deleted keys", count(status.tombstones)],
    ["Digest", status.digest.slice(0, 16)],
    ["Trouble", status.reason ?? status.halted],
  ]);
  const ended = recovery.clean ? "the last run had ended cleanly" : "recovered after an unclean end";
  rows(at("recovery"), [
    ["Outcome", recovery.created ? "a new log was founded" : ended],
    ["Started", moment(node.started_at_ms)],
    ["Took", `${count(recovery.took_ms)} ms`],
    ["Replayed", counted(recovery.records, "record")],
    ["From snapshot", recovery.snapshot_lsn ? `${count(recovery.snapshot_entries)} entries, LSN ${count(recovery.snapshot_lsn)}` : "none"],
    ["Dropped", recovery.torn_bytes ? `${bytes(recovery.torn_bytes)} of an unfinished write that nobody was promised` : "nothing"],
  ]);
}

const TONE_OF = { ERROR: "bad", WARN: "warn" };

function showLines(lines) {
  seen.lines.push(...lines);
  seen.lines = seen.lines.slice(-MOST_LINES);
  seen.line = seen.lines.at(-1)?.seq ?? 0;
  const only = at("only-trouble").checked;
  const kept = seen.lines.filter((line) => !only || line.level !== "INFO").reverse();
  // What is the same in nearly every line says nothing here.
  const usual = (name, value) => name === "node" || name === "retry" || (name === "local_state" && value === "valid");
  const row = (line) => {
    const fields = Object.entries(line.fields).filter(([name, value]) => value !== "" && !usual(name, value));
    return make("li", {},
      make("time", {}, clock(line.at_ms)),
      make("span", {}, make("span", { class: "pill", "data-tone": TONE_OF[line.level] }, line.level.toLowerCase())),
      make("span", { class: "what" }, line.message, " ", line.event ? make("code", {}, line.event) : null),
      fields.length ? make("span", { class: "fields" }, fields.map(([name, value]) => `${name}=${value}`).join("  ")) : null);
  };
  const none = () => [make("li", {}, make("span", { class: "what quiet" }, "Nothing yet."))];
  fill(at("lines"), [seen.line, only], () => (kept.length ? kept.map(row) : none()));
}

at("only-trouble").addEventListener("change", () => showLines([]));
turn();
