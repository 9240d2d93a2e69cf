// The line to the server: the client's RemoteEvents, made anew for each load, and whether it is live.

const { RemoteEvents } = gantt.ext.liveUpdates;
const RETRY = 2000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Connection {
  #token;
  #tab;
  #channels;
  #changed;
  #greeted;
  #ended;
  #client = null;
  #turn = 0;
  #phase = "connecting";
  #checking = false;

  constructor({ token, tab, channels, changed, greeted, ended }) {
    this.#token = token;
    this.#tab = tab;
    this.#channels = channels;
    this.#changed = changed;
    this.#greeted = greeted;
    this.#ended = ended;
    addEventListener("online", () => this.#client?.connect());
    addEventListener("offline", () => this.check());
  }

  /** live, connecting, reconnecting, offline (no network at all) or refused (the token) */
  get state() {
    return this.#phase === "reconnecting" && !navigator.onLine ? "offline" : this.#phase;
  }

  #set(phase) {
    this.#phase = phase;
    this.#changed();
  }

  /** Listen for all that was changed after `since`, in place of what was listened to. */
  async open(since) {
    const turn = ++this.#turn;
    this.#drop();
    const path = new URL("api/v1", document.baseURI).pathname;
    const url = `${path}?since=${since}&tab=${this.#tab}&reload=1`;
    while (turn === this.#turn) {
      const remote = new RemoteEvents(url, this.#token());
      // RemoteEvents gives up when its handshake fails, and on() would leave a rejection
      // that nobody handles; so ready() comes first.
      const client = await remote.ready().catch(() => null);
      if (turn !== this.#turn) return retire(client);
      if (client) this.#greeted(client.data.user ?? null, Boolean(client._socket));
      if (client?._socket) {
        this.#adopt(client);
        remote.on(this.#channels);
        return;
      }
      this.#set(client ? "refused" : "reconnecting");
      await pause(client ? 15 * RETRY : RETRY);
    }
  }

  /** The server could not be reached. A socket whose line is cut says nothing for minutes: ask. */
  async check() {
    const client = this.#client;
    if (this.#checking || !client) return;
    this.#checking = true;
    try {
      await fetch("api/v1", { headers: { "Remote-Token": this.#token() }, signal: AbortSignal.timeout(5000) });
    } catch {
      if (client === this.#client) client._socket?.close();
    } finally {
      this.#checking = false;
      this.#changed();
    }
  }

  #adopt(client) {
    const connect = Object.getPrototypeOf(client).connect;
    client.connect = () => {
      // Its own timer comes after a close even where we have connected already.
      if (client._socket?.readyState <= WebSocket.OPEN) return;
      connect.call(client);
      this.#watch(client);
    };
    this.#client = client;
    this.#watch(client);
  }

  #watch(client) {
    const socket = client._socket;
    const mine = () => client === this.#client && socket === client._socket;
    let accepted = false;
    // The first frame says that the token was accepted; an open socket alone does not.
    socket.addEventListener("message", () => mine() && (accepted = true) && this.#set("live"), { once: true });
    socket.addEventListener("close", ({ code }) => {
      if (!mine()) return;
      this.#set(code === 1008 ? "refused" : "reconnecting");
      if (code !== 1008 || !accepted) return;
      this.#drop();
      this.#ended();
    });
  }

  #drop() {
    retire(this.#client);
    this.#client = null;
  }
}

/** RemoteEvents cannot be closed: without this it would reconnect for ever. */
function retire(client) {
  if (!client) return;
  client.connect = client.fire = () => {};
  client._socket?.close();
}
