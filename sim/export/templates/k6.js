// Sends the asks of schedule.csv with Grafana k6; an ask is sent whether or not those before it were answered.
//
//   k6 run k6.js                             each ask at its own instant (as long as a virtual user is free)
//   k6 run -e MODE=rate k6.js                as many asks a second as in the schedule, evenly within each bin
//   k6 run -e URL=http://other:8080/v1 k6.js another server than the one in schedule.json
//
// VUS=200 says how many virtual users there are: each waits for one answer at a time, so there must be more of them than
// asks under way. Too few show as 'lateness' in the first mode and as 'dropped_iterations' in the second.
// TIMEOUT=600 says how many seconds to wait for an answer.

import http from 'k6/http';
import exec from 'k6/execution';
import { sleep } from 'k6';
import { SharedArray } from 'k6/data';
import { Trend } from 'k6/metrics';

const about = JSON.parse(open('./schedule.json'));
const load = JSON.parse(open('./k6-stages.json'));
const asks = new SharedArray('asks', () => rows(open('./schedule.csv')));
const lateness = new Trend('lateness', true);

const mode = __ENV.MODE || 'exact';
const timeout = Number(__ENV.TIMEOUT || 600);
const vus = Number(__ENV.VUS || load.vus);
const url = __ENV.URL || about.url;

export const options = {
  scenarios: { asks: scenario(load, mode, vus, timeout) },
  summaryTrendStats: ['avg', 'min', 'med', 'p(90)', 'p(99)', 'max'],
};

// The rows of a CSV file with a header as objects; a field may be quoted.
export function rows(text) {
  const table = [[]];
  for (const [, field, end] of text.matchAll(/("(?:[^"]|"")*"|[^,\r\n]*)(,|\r?\n|$)/g)) {
    const row = table[table.length - 1];
    row.push(field.startsWith('"') ? field.slice(1, -1).replaceAll('""', '"') : field);
    if (end !== ',') table.push([]);
  }
  const [names, ...lines] = table.filter((row) => row.length > 1);
  return lines.map((line) => Object.fromEntries(names.map((name, i) => [name, value(name, line[i])])));
}

function value(name, text) {
  return ['tier', 'feature', 'model'].includes(name) ? text : Number(text);
}

// How k6 is to start iterations. Exact: whoever is free takes the next ask and sleeps until its instant. Rate: k6 starts
// them itself, along the stages.
export function scenario(load, mode, vus, timeout) {
  const patience = { gracefulStop: `${timeout}s` };
  if (mode === 'exact') {
    const users = Math.min(vus, load.asks);
    const longest = `${Math.ceil(load.seconds) + timeout}s`;
    return { executor: 'shared-iterations', vus: users, iterations: load.asks, maxDuration: longest, ...patience };
  }
  if (mode !== 'rate') throw new Error(`there is no mode '${mode}', only exact and rate`);
  const { startRate, timeUnit, stages } = load;
  const users = { preAllocatedVUs: vus, maxVUs: 10 * vus };
  return { executor: 'ramping-arrival-rate', startRate, timeUnit, stages, ...users, ...patience };
}

// What is posted for one ask. Change this to what your service wants.
export function body(ask) {
  const { t_s, ...spec } = ask;
  return JSON.stringify(spec);
}

export default function () {
  const ask = asks[exec.scenario.iterationInTest];
  if (ask === undefined) return;
  if (mode === 'exact') {
    const due = exec.scenario.startTime + 1000 * ask.t_s;
    if (due > Date.now()) sleep((due - Date.now()) / 1000);
    lateness.add(Math.max(0, Date.now() - due));
  }
  const tags = { feature: ask.feature, tier: ask.tier };
  http.post(url, body(ask), { headers: { 'Content-Type': 'application/json' }, timeout: `${timeout}s`, tags });
}
