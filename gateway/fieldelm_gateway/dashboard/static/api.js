// Asks the gateway, and hears what happens.

export async function get(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).message ?? `the gateway answers ${answer.status}`);
  return answer.json();
}

const TOKEN = "fieldelm-token";
const NAME = "fieldelm-name";
const AGAIN_MS = 2000;

export const me = {
  get token() { return localStorage.getItem(TOKEN) ?? ""; },
  set token(value) { localStorage.setItem(TOKEN, value); },
  get name() { return localStorage.getItem(NAME) ?? ""; },
  set name(value) { localStorage.setItem(NAME, value); },
};

export async function request(command, document) {
  const answer = await fetch(`/api/request/${command}`, {
    method: "POST",
    headers: { authorization: `Bearer ${me.token}`, "content-type": "application/json" },
    body: JSON.stringify({ ...document, ...(me.name ? { by: me.name } : {}) }),
  });
  const said = await answer.json().catch(() => ({ message: `the gateway answers ${answer.status}` }));
  return { code: answer.status, ...said };
}

/** Calls `take(topic, payload)` for everything that happens, and `state(connected)` when the connection comes or goes. */
export function live(take, state) {
  const source = new EventSource("/api/live");
  source.onopen = () => state(true);
  source.onerror = () => {
    state(false);
    // the browser gives up after an answer such as 503
    if (source.readyState === EventSource.CLOSED) setTimeout(() => live(take, state), AGAIN_MS);
  };
  source.onmessage = (event) => {
    for (const { topic, payload } of JSON.parse(event.data)) take(topic, payload);
  };
}
