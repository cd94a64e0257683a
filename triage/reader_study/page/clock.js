// The reading time of a case. Time without input for longer than `idleMs`, or in which the page was
// hidden, is not reading: of such a pause only the first `idleMs` count.

export class Clock {
  #idleMs;
  #now;
  #running = false;
  #hidden = false;
  #last = 0;
  #active = 0;
  #elapsed = 0;

  constructor(idleMs, now = () => performance.now()) {
    this.#idleMs = idleMs;
    this.#now = now;
  }

  /** Start to count. */
  start() {
    this.#settle();
    this.#running = true;
  }

  /** Stop to count: the reader paused, or no case is shown. */
  stop() {
    this.#settle();
    this.#running = false;
  }

  /** Record an input. */
  touch() {
    this.#settle();
  }

  /** Record that the page is shown or hidden. */
  show(visible) {
    this.#settle();
    this.#hidden = !visible;
  }

  /** Return true if the pause since the last input no longer counts. */
  get idle() {
    return this.#running && (this.#hidden || this.#now() - this.#last > this.#idleMs);
  }

  /** Return the milliseconds since the last `drop`, in the form of the server. */
  peek() {
    const { active, elapsed } = this.#counted();
    return { active_ms: Math.round(active), elapsed_ms: Math.round(elapsed) };
  }

  /** Reset the counts, which were saved or are not needed. */
  drop() {
    this.#settle();
    this.#active = 0;
    this.#elapsed = 0;
  }

  #settle() {
    const { active, elapsed } = this.#counted();
    this.#active = active;
    this.#elapsed = elapsed;
    this.#last = this.#now();
  }

  #counted() {
    const gap = this.#running ? this.#now() - this.#last : 0;
    const reading = this.#hidden ? 0 : Math.min(gap, this.#idleMs);
    return { active: this.#active + reading, elapsed: this.#elapsed + gap };
  }
}
