// Two pictures in one frame; a slider says where one ends and the other begins.
export default {
  props: { left: String, right: String },
  template: `
    <div class="versus">
      <img :src="left" alt="First picture" draggable="false" />
      <div class="right" :style="{clipPath: 'inset(0 0 0 ' + at + '%)'}"><img :src="right" alt="Second picture" draggable="false" /></div>
      <div class="cut" :style="{left: 'calc(' + at + '% - 1px)'}"></div>
      <input type="range" min="0" max="100" step="0.5" v-model.number="at" aria-label="Where the first picture ends and the second begins" />
    </div>`,
  data() { return { at: 50 }; },
};
