"""What Explain says, from top to bottom: for somebody who hears of it for the first time."""

LEAD = (
    "A diffusion model is never taught to draw. It is taught one thing only: to look at a picture "
    "buried in noise, and to guess what lies underneath. Give it nothing but noise and ask again and "
    "again, and a picture comes forth."
)

GUESS = (
    "On the left is what the network is given; at first it is pure noise, picked by the seed. On the "
    "right is its guess of the clean picture. No guess is taken at its word: each step moves only a "
    "part of the way towards it, then asks again with a little less noise. Press play, or drag the "
    "slider below, and watch the guess grow sharper as the noise goes."
)

GUIDANCE = (
    "Each step asks twice: once with your words, and once without. The difference between both answers "
    "is what your words mean for this picture. Guidance takes that difference and exaggerates it, here "
    "by {scale:g}: more of it follows the words more closely, and in the end costs variety and natural "
    "colours."
)

WORDS = (
    "How does a place in the picture know that it is to be a hat? It looks at the words, at each to "
    "another degree; that is called attention. Point at a word to see where it is looked at, or at a "
    "place in the picture to see which words it looks at. The network learned this by itself: nobody "
    "told it what a word is about."
)

CURVE = (
    "How much noise is left at each step is set beforehand: by the schedule. Early steps, where noise "
    "is strong, decide what is where. Late ones only clean up. That is why a few steps give the right "
    "layout, and more steps give finer edges."
)

SIDE = (
    "A sampler is the rule that turns guesses into steps. Good rules need few: all pictures below start "
    "from the same noise and differ in nothing but the sampler and how many steps it takes. Where two "
    "columns look alike, the further steps bought nothing."
)

ENDS = (
    "That is all of it: noise from a seed, a network that guesses, words that it looks at, a push "
    "towards them, and a rule for taking steps. What you set in Create are exactly these five."
)
