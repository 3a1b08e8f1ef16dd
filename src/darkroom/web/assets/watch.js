// Explain: views of one picture being made, all at the same step. The "scrubber" holds what is told; the others show it.
const shared = (globalThis.darkroomWatch ??= Vue.reactive({ told: null, at: 0, word: null }));

export default {
  props: { part: String, told: Object },
  template: `
    <div v-if="part === 'scrubber'" class="scrubber" :class="{idle: !steps}">
      <button class="press icon" type="button" :aria-label="timer ? 'Stop' : 'Play'" :title="timer ? 'Stop' : 'Play'" @click="play" :disabled="!steps">
        <svg class="sign" viewBox="0 0 24 24" aria-hidden="true"><path :d="timer ? 'M8 5v14M16 5v14' : 'M7 4.5v15l12-7.5z'"/></svg>
      </button>
      <div class="field grow"><input type="range" min="0" :max="Math.max(0, steps - 1)" v-model.number="shared.at" aria-label="Step"
        :style="{'--part': steps > 1 ? 100 * shared.at / (steps - 1) + '%' : '0%'}" @input="halt" /></div>
      <div class="small number where">{{ steps ? 'step ' + (shared.at + 1) + ' of ' + steps : '' }}</div>
    </div>

    <div v-else-if="!now" class="waiting"></div>

    <div v-else-if="part === 'guess'" class="panes two">
      <figure><img :src="now.noisy" alt="The noisy picture that the network is given" />
        <figcaption><b>What goes in</b>{{ percent(noise) }} noise, {{ percent(1 - noise) }} picture</figcaption></figure>
      <figure><img :src="now.estimate" alt="The clean picture that the network guesses" />
        <figcaption><b>What the network guesses</b>{{ stage }}</figcaption></figure>
    </div>

    <div v-else-if="part === 'guidance'" class="panes three">
      <template v-if="now.alone">
        <figure><img :src="now.alone" alt="The guess without the prompt" /><figcaption><b>Without your words</b>what this noise alone would become</figcaption></figure>
        <figure><div class="heat"><img :src="now.pull" alt="Where guidance changes the picture" /></div><figcaption><b>What guidance changes</b>the brighter, the more of it</figcaption></figure>
        <figure><img :src="now.estimate" alt="The guess with the prompt, pushed" /><figcaption><b>With them, exaggerated</b>the guess that sampling goes by</figcaption></figure>
      </template>
      <p v-else class="soft">At guidance 1 the network is asked once, with your words, and nothing is pushed.</p>
    </div>

    <div v-else-if="part === 'words'" class="looks">
      <div class="under-look" @mouseleave="place = null">
        <img :src="now.estimate" alt="" />
        <canvas ref="map" aria-hidden="true"></canvas>
        <div class="cells" :style="{gridTemplateColumns: 'repeat(' + wide + ', 1fr)'}">
          <i v-for="i in wide * high" :key="i" :class="{on: place === i - 1}" @mouseenter="point(i - 1)" @click="point(i - 1)"></i>
        </div>
      </div>
      <div class="grow">
        <div class="tokens" role="group" aria-label="Words of the prompt">
          <button v-for="(word, i) in shared.told.words" v-show="i > 0" :key="i" type="button" class="token" :aria-pressed="chosen === i ? 'true' : 'false'"
            @click="choose(i)" @mouseenter="choose(i)"><span class="fill" :style="{opacity: place === null ? 0 : strength(i)}"></span><span class="it">{{ word }}</span></button>
        </div>
        <p class="small soft">{{ place === null ? 'Lit: where the picture looks at the word “' + shared.told.words[chosen] + '”.' : 'Lit words: what this place of the picture looks at.' }}</p>
      </div>
    </div>

    <svg v-else class="curve" viewBox="-34 -14 640 252" role="img" :aria-label="'Noise and picture over ' + steps + ' steps; now ' + percent(noise) + ' noise'">
      <g class="axes"><path d="M0 0V200H580" /><text x="-8" y="6" text-anchor="end">all</text><text x="-8" y="204" text-anchor="end">none</text>
        <text x="0" y="224">pure noise</text><text x="580" y="224" text-anchor="end">picture</text></g>
      <path class="signal" :d="line(pair => pair[0] / (pair[0] + pair[1]))" /><path class="noise" :d="line(pair => pair[1] / (pair[0] + pair[1]))" />
      <text class="noise" x="58" y="36">noise</text><text class="signal" x="58" y="178">picture</text>
      <g v-for="(pair, i) in shared.told.visited" :key="i" :class="{now: i === shared.at}" class="visit" @click="shared.at = Math.min(i, steps - 1)">
        <line :x1="along(i)" :x2="along(i)" y1="0" y2="200" /><circle :cx="along(i)" :cy="200 - 200 * pair[1] / (pair[0] + pair[1])" r="4.5" /></g>
    </svg>`,
  data() { return { shared, timer: null, chosen: 0, place: null }; },
  computed: {
    steps() { return this.shared.told?.steps.length || 0; },
    now() { return this.shared.told?.steps[Math.min(this.shared.at, this.steps - 1)]; },
    noise() { return this.now.sigma / (this.now.alpha + this.now.sigma); },
    stage() {
      const part = this.shared.at / Math.max(1, this.steps - 1);
      if (part < 0.12) return "a first idea: colours and where things may go";
      if (part < 0.45) return "the layout stands, shapes come forth";
      if (part < 0.8) return "things take their form";
      return "edges and details";
    },
    wide() { return this.shared.told?.wide || 1; },
    high() { return this.shared.told?.high || 1; },
  },
  watch: {
    told: { immediate: true, handler(told) { if (this.part === "scrubber") this.take(told); } },
    now() { this.$nextTick(this.draw); },
    "shared.told"() { this.chosen = this.first(); this.place = null; this.$nextTick(this.draw); },
  },
  mounted() { if (this.part === "words" && this.now) { this.chosen = this.first(); this.$nextTick(this.draw); } },
  unmounted() { this.halt(); },
  methods: {
    take(told) { // attention comes as bytes, words after places after steps
      if (!told) return;
      this.halt();
      this.shared.told = { ...told, looks: told.looks ? Uint8Array.from(atob(told.looks), (c) => c.charCodeAt(0)) : null };
      this.shared.at = 0;
      if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.play();
      else this.shared.at = told.steps.length - 1;
    },
    play() {
      if (this.timer) return this.halt();
      if (this.shared.at >= this.steps - 1) this.shared.at = 0;
      this.timer = setInterval(() => { if (this.shared.at < this.steps - 1) this.shared.at++; else this.halt(); }, 420);
    },
    halt() { clearInterval(this.timer); this.timer = null; },
    percent(part) { return Math.round(100 * part) + " %"; },
    first() { // the first word that stands for a thing, as far as length tells
      const words = this.shared.told?.words || [];
      const long = words.findIndex((word, i) => i > 0 && word.length > 2);
      return long > 0 ? long : 1;
    },
    choose(i) { this.chosen = i; this.place = null; this.draw(); },
    point(i) { this.place = i; this.draw(); },
    look(word, place) {
      const told = this.shared.told, places = this.wide * this.high;
      return told.looks ? told.looks[(this.shared.at * told.words.length + word) * places + place] : 0;
    },
    strength(word) {
      const most = Math.max(...this.shared.told.words.map((_, i) => (i ? this.look(i, this.place) : 0)), 1);
      return this.look(word, this.place) / most;
    },
    draw() { // light on the places that look at the chosen word, dark elsewhere
      const map = this.$refs.map;
      if (!map) return;
      map.width = this.wide; map.height = this.high;
      const pen = map.getContext("2d"), sheet = pen.createImageData(this.wide, this.high);
      const values = Array.from({ length: this.wide * this.high }, (_, i) => this.look(this.chosen, i));
      const least = Math.min(...values), most = Math.max(...values, least + 1);
      values.forEach((value, i) => { sheet.data[4 * i + 3] = this.place === null ? 215 * (1 - (value - least) / (most - least)) : 120; });
      pen.putImageData(sheet, 0, 0);
    },
    along(i) { return 580 * i / Math.max(1, this.shared.told.visited.length - 1); },
    line(share) { // by steps, as the dots stand: the schedule is walked evenly only by some schedulers
      const visited = this.shared.told.visited;
      return visited.map((pair, i) => (i ? "L" : "M") + this.along(i) + " " + (200 - 200 * share(pair))).join("");
    },
  },
};
