// Sends the requests of schedule.csv with Grafana k6, each at its own instant, whether or not those before it were answered.
//
//   k6 run k6.js                             the server in schedule.json
//   k6 run -e URL=http://other:8080/v1 k6.js another server
//
// VUS=200 sets how many virtual users there are. Each waits for one answer at a time, so there must be more of them than
// requests under way; too few show as 'lateness'. TIMEOUT=600 is how many seconds to wait for an answer.

import http from 'k6/http';
import exec from 'k6/execution';
import { sleep } from 'k6';
import { SharedArray } from 'k6/data';
import { Trend } from 'k6/metrics';

const about = JSON.parse(open('./schedule.json'));
const load = JSON.parse(open('./k6-load.json'));
const asks = new SharedArray('asks', () => rows(open('./schedule.csv')));
const lateness = new Trend('lateness', true);

const timeout = Number(__ENV.TIMEOUT || 600);
const vus = Number(__ENV.VUS || load.vus);
const url = __ENV.URL || about.url;

export const options = {
  scenarios: { asks: scenario(vus, timeout) },
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

// Each virtual user takes the next request and sleeps until its instant.
function scenario(vus, timeout) {
  const maxDuration = `${Math.ceil(load.seconds) + timeout}s`;
  const users = Math.min(vus, asks.length);
  return { executor: 'shared-iterations', vus: users, iterations: asks.length, maxDuration, gracefulStop: `${timeout}s` };
}

// What is posted for one ask. Change this to what your service wants.
export function body(ask) {
  const { t_s, ...spec } = ask;
  return JSON.stringify(spec);
}

export default function () {
  const ask = asks[exec.scenario.iterationInTest];
  if (ask === undefined) return;
  const due = exec.scenario.startTime + 1000 * ask.t_s;
  if (due > Date.now()) sleep((due - Date.now()) / 1000);
  lateness.add(Math.max(0, Date.now() - due));
  const tags = { feature: ask.feature, tier: ask.tier };
  http.post(url, body(ask), { headers: { 'Content-Type': 'application/json' }, timeout: `${timeout}s`, tags });
}
