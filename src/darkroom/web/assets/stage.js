// The picture that develops, and the film strip of what it looked like at each step.
export default {
  props: { picture: String, alt: String, ratio: Number, words: String, step: Number, steps: Number, busy: Boolean, empty: String },
  template: `
    <div class="stage">
      <div class="well" :class="{busy}" :style="{aspectRatio: ratio || 1, '--ratio': ratio || 1}">
        <img v-if="shown" :src="shown" :alt="alt" draggable="true" />
        <div v-else class="empty">{{ empty }}</div>
        <div v-if="looking !== null" class="tag">step {{ frames[looking].step }}</div>
        <div class="rail" role="progressbar" aria-label="Progress" :aria-valuenow="step || 0" :aria-valuemax="steps || 0"><i :style="{width: busy && steps ? 100 * step / steps + '%' : '0'}"></i></div>
      </div>
      <div class="strip" ref="strip" role="group" aria-label="Film strip: the picture at each step" @mouseleave="looking = null">
        <button v-for="(frame, i) in frames" :key="i" class="frame" :aria-label="'Step ' + frame.step" :class="{on: looking === i}"
          @mouseenter="looking = i" @focus="looking = i" @blur="looking = null" @click="looking = i"><img :src="frame.src" alt="" /></button>
        <div v-for="i in Math.max(0, 16 - frames.length)" :key="'blank' + i" class="frame blank"></div>
      </div>
      <div class="words" aria-live="polite">{{ words }}</div>
    </div>`,
  data() { return { frames: [], looking: null, latest: null }; },
  computed: {
    shown() {
      if (this.looking !== null) return this.frames[this.looking].src;
      return this.latest || this.picture;
    },
  },
  watch: { picture() { this.latest = null; } },
  methods: {
    begin() { this.fresh = true; },
    frame(step, src) { // the old strip stays until there is a new one
      if (this.fresh) { this.frames = []; this.looking = null; this.fresh = false; }
      this.frames.push({ step, src });
      this.latest = src;
      this.$nextTick(() => { if (this.$refs.strip) this.$refs.strip.scrollLeft = 1e6; });
    },
    finish(source, step) {
      if (source) this.frame(step, source);
      this.latest = null;
    },
  },
};
