// Small helpers of the page: elements, numbers, bytes. Everything from the node enters the page as text, never as markup.

export const at = (id) => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") element.addEventListener("click", value);
    else if (value !== undefined && value !== false && value !== "") element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

// Replaces what an element holds, unless it is the same: a selection or a focus inside of it survives.
export function fill(element, key, children) {
  const text = JSON.stringify(key);
  if (element.dataset.key === text) return;
  element.dataset.key = text;
  element.replaceChildren(...children());
}

export const count = (number) => Number(number).toLocaleString("en-US");

export const counted = (number, one) => `${count(number)} ${one}${number === 1 ? "" : "s"}`;

export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (number >= 1024 && unit < units.length - 1) {
    number /= 1024;
    unit += 1;
  }
  return `${number < 10 && unit > 0 ? number.toFixed(1) : Math.round(number)} ${units[unit]}`;
}

export function micros(us) {
  if (us === undefined || us === null) return "–";
  if (us < 1000) return `${us} µs`;
  if (us < 1e6) return `${(us / 1000).toFixed(us < 1e4 ? 1 : 0)} ms`;
  return `${(us / 1e6).toFixed(1)} s`;
}

export function span(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days > 0) return `${days} d ${hours} h`;
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min`;
}

export const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");
export const moment = (ms) => new Date(ms).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });

// The bytes of a field that is text under its own name, or base64 under `<name>_base64`.
export function raw(record, name) {
  if (record[name] !== undefined) return new TextEncoder().encode(record[name]);
  const coded = record[`${name}_base64`];
  return coded === undefined ? null : Uint8Array.from(atob(coded), (c) => c.charCodeAt(0));
}

// The same for people: text, or what it is instead.
export function shown(record, name) {
  if (record[name] !== undefined) return record[name] === "" ? "(empty)" : record[name];
  const data = raw(record, name);
  if (data === null) return "";
  const hex = Array.from(data.slice(0, 24), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return `${data.length} bytes: ${hex}${data.length > 24 ? " …" : ""}`;
}

// Bytes as the value of a parameter.
export const encoded = (data) => Array.from(data, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");

export const short = (text, most) => (text.length > most ? `${text.slice(0, most)}…` : text);

// When a version was written, by its stamp: seconds since 1970, `+`, a counter.
export const written = (stamp) => Number(stamp.split("+")[0]) * 1000;
