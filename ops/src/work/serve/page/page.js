"use strict";
// Texts of the database are only ever set as text.
const place = (id) => document.getElementById(id);
const cells = (values) => {
  const row = document.createElement("tr");
  for (const value of values) {
    const cell = document.createElement("td");
    cell.textContent = String(value);
    row.append(cell);
  }
  return row;
};
const fill = (id, rows) => {
  const none = document.createElement("tr");
  none.className = "none";
  none.append(Object.assign(document.createElement("td"), { textContent: "none", colSpan: 5 }));
  place(id).replaceChildren(...(rows.length ? rows.map(cells) : [none]));
};
const counts = (of) => Object.entries(of);
const listed = (of) => counts(of).map(([state, count]) => `${state} ${count}`).join(", ");

const show = (health, state) => {
  const { id, purpose } = health.lineage;
  place("database").textContent = `${health.url}, lineage ${id}, ${purpose}`;
  const rest = state.run_count > state.runs.length ? `, ${state.runs.length} shown` : "";
  place("at").textContent = `${state.run_count} runs${rest}, as of ${state.at}`;
  fill("phases", counts(state.by_state));
  fill("sessions", state.sessions.map((s) => [s.session_id ?? "begins", s.owner, s.in_work, s.attempts, s.events]));
  fill("telemetry", counts(state.telemetry));
  fill("samples", state.samples.map((s) => [s.category, s.complexity, s.deliverables, s.samples]));
  fill("runs", state.runs.map((run) => [run.run_id, run.state, listed(run.by_state)]));
  place("shown").hidden = false;
};

const ask = async (path) => {
  const token = sessionStorage.getItem("token");
  const answer = await fetch(path, token ? { headers: { authorization: `Bearer ${token}` } } : {});
  if (answer.status === 401) {
    place("key").hidden = false;
    throw new Error("the token of this server is needed");
  }
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return answer.json();
};

let timer;
const refresh = async () => {
  clearTimeout(timer);
  try {
    show(await ask("/health"), await ask("/v1/state"));
    place("key").hidden = true;
  } catch (error) {
    place("at").textContent = `no answer: ${error.message}`;
  }
  timer = setTimeout(refresh, 2000);
};
place("key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", place("token").value);
  refresh();
});
refresh();
