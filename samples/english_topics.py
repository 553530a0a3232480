"""What English articles are about: sixteen topics of our own, each a set of phrase banks.

thing (one, countable), things (several), tool (one), stuff (uncountable), act (what one is busy
doing, -ing), todo (what one should do), good and bad (outcomes, with their article), people,
spot (a place, with its article).
"""

from samples.grammar import bank

KEYS = ("thing", "things", "tool", "stuff", "act", "todo", "good", "bad", "people", "spot")

_BREAD = """
village oven|sourdough starter|proving basket|rye loaf|kneading trough|stone mill
morning loaves|oat rolls|seed crackers|barley flatbreads|cooling racks|flour sacks
bench scraper|oven peel|spring balance|linen cloth|long thermometer
rye flour|coarse bran|warm brine|malt syrup|yesterday's dough
folding the dough by hand|feeding the starter at dawn|scoring the loaves|firing the brick oven
weigh the water before the flour|let the dough rest overnight|steam the oven early|keep the bran
an open and even crumb|a crust that sings while it cools|a loaf that lasts the week
a dense and sour crumb|a pale crust with no flavour|a starter that smells of paint
bakers|millers|early customers|apprentices at the oven
the bakehouse|the back of the mill|the long counter|the flour loft
"""
_BEES = """
observation hive|swarm trap|wax press|hillside apiary|brood frame|honey shed
winter clusters|queen cells|empty combs|wooden supers|honey jars|foraging flights
smoker|hive tool|bee brush|uncapping fork|extractor drum
heather honey|clean wax|sugar syrup|willow pollen|dried lavender
marking the new queens|moving the hives uphill|listening to the brood box|rendering old wax
open the hive only on warm days|leave enough honey for winter|watch the entrance first
a calm colony in spring|a second harvest of lime honey|a strong brood nest
a silent hive in February|a robbed and broken comb|a swarm lost over the rooftops
beekeepers|orchard owners|honey buyers|school visitors
the south wall|the clover meadow|the honey room|the lane behind the church
"""
_BIKES = """
touring bicycle|bottom bracket|cargo trike|repair stand|steel frame|tandem
worn chains|brake pads|folding bikes|spare wheels|hub gears|donated frames
truing stand|chain whip|torque wrench|cone spanner|tyre lever
white grease|bar tape|inner tubing|rust remover|touch-up paint
truing a buckled wheel|rescuing frames from the tip|adjusting the hub gears|teaching brake repair
check the chain for wear each month|pump the tyres before every trip|grease the seat post
a silent drivetrain|a wheel that spins without a wobble|a bike that outlives its owner
a snapped gear cable|a seized seat post|a puncture on the last hill
mechanics|commuters|volunteers at the stand|delivery riders
the repair corner|the old fire station|the shed by the tracks|the parts wall
"""
_ORCHARD = """
pear espalier|cider press|grafted sapling|apple store|old damson|nursery bed
russet apples|windfall pears|budding rods|fruit crates|prunings|picking ladders
grafting knife|pole saw|picking bag|bark scraper|juice screen
leaf mould|fresh cider|tree paste|sheep manure|straw mulch
grafting the last local varieties|thinning the young fruit|pressing windfalls|mapping old trees
prune in dry weather|label every graft at once|mow before the harvest|net the youngest trees
a crop that keeps until Easter|a tree that bears again|a clear and fragrant juice
a canker on the main limb|a late frost in full blossom|a cellar of mouldy pears
growers|pickers|cider makers|families with baskets
the lower terrace|the wall garden|the pressing barn|the hedge along the brook
"""
_CANAL = """
lock gate|narrow boat|towpath bridge|winding hole|swing bridge|pump house
lock keepers' huts|mooring rings|barge horses|dredged channels|stop planks|coal boats
windlass|boat hook|sounding pole|paddle gear|tar brush
puddled clay|green oak|hemp rope|bottom mud|bright paint
rebuilding the upper gates|clearing the towpath|steering through the tunnel|patching a leaking bank
close the paddles slowly|leave room for the next boat|look for wet grass below the bank
a full pound in August|a gate that swings with one hand|a quiet night on the water
a breach after heavy rain|a gate jammed by driftwood|a lock that empties overnight
boaters|lock volunteers|anglers|bridge engineers
the bottom lock|the aqueduct|the summit reach|the boatyard
"""
_SKY = """
refracting telescope|hilltop dome|star chart|equatorial mount|finder scope|meteor camera
double stars|comet sketches|dark nights|variable stars|mirror cells|evening classes
red lamp|dew heater|folding ladder|polar scope|observing stool
polished glass|frozen grass|still air|pencil graphite|black felt
sketching the moon at the eyepiece|timing an eclipse|counting meteors|aligning the mount
let the mirror cool for an hour|write down the time first|learn ten stars before buying a lens
a steady view of Saturn|a clean split of a close pair|a winter of clear evenings
a fogged lens at midnight|a street lamp in the field of view|a week of high cloud
observers|amateurs with home-made mirrors|night-shift nurses|school groups
the observatory hill|the flat roof|the dark lane|the workshop under the dome
"""
_CHOIR = """
parish choir|rehearsal piano|part song|lending library of scores|spring concert|tenor line
warm-up exercises|new singers|folding chairs|carol sheets|low basses|evening rehearsals
tuning fork|music stand|page clip|metronome|pencil on a string
hot tea|clear vowels|good breath|choir gossip|silence between verses
learning the alto part by ear|counting rests|singing in the hospital ward|sorting the old scores
breathe before the entry|mark the page turns|listen to the voice beside you|stand to sing
a chord that locks|a full hall in November|a pianissimo that carries
a flat final bar|a missing tenor on the night|a draught that ruins the piano
singers|conductors|accompanists|listeners in the back row
the parish hall|the organ loft|the music room|the tea kitchen
"""
_CLOCKS = """
tower clock|pendulum bob|regulator|verge watch|striking train|dial
brass wheels|spare mainsprings|clock weights|pivot holes|church bells|enamel hands
mandrel lathe|broach|loupe|bushing tool|depthing gauge
clock oil|pear wood|fine brass|blued steel|pumice powder
winding the tower by hand|cleaning century-old grease|cutting a missing wheel|setting the strike
oil sparingly|mark each screw before removal|let the spring down first|measure twice at the pivot
a clock within seconds a week|a strike in step with the hands|an even and loud tick
a bent arbor|a cracked dial|a pendulum stopped by a spider
clockmakers|bell ringers|collectors|the parish wardens
the tower room|the bench by the window|the ringing chamber|the front of the shop
"""
_POTTERY = """
wood kiln|stoneware jug|kick wheel|glaze test|clay pit|salt-glazed crock
tea bowls|kiln shelves|test tiles|roof finials|broken saucers|tall jars
turning tool|wire cutter|slip trailer|throwing rib|pyrometer
ash glaze|red clay|grog|iron slip|kiln wash
wedging a week of clay|stacking the kiln|throwing off the hump|mixing glaze from ash
dry the handles slowly|write the firing diary|leave the kiln shut for two days|sieve every glaze
a rim without a chip|a glaze with the depth of water|a kiln with no losses
a crawl in the glaze|a shelf that cracks at full heat|a handle that drops off
potters|kiln stokers|museum visitors|cooks who love heavy pots
the damp room|the kiln yard|the glaze bench|the clay shed
"""
_WEATHER = """
rain gauge|barometer|weather mast|river gauge|wind vane|snow stake
daily readings|frost warnings|storm fronts|thermometer screens|cloud notes|flood marks
measuring cylinder|spirit level|data logger|hand anemometer|ink pen
wet snow|ground fog|rain water|hoar frost|river silt
reading the gauge at seven|repainting the screen|comparing two thermometers|copying old diaries
read the dial at eye level|note the wind before the cloud|empty the gauge at the same hour
a series without a gap|a flood warning in good time|a forecast that farmers trust
a gauge blocked by leaves|a missing week in the diary|a gale that took the mast
observers|farmers|river wardens|teachers of geography
the school roof|the river meadow|the pass road|the station garden
"""
_PATHS = """
drystone wall|stile|footbridge|ridge path|waymark post|cattle grid
drainage ditches|stone steps|kissing gates|guide posts|muddy corners|volunteer days
crowbar|walling hammer|brush hook|line pin|post driver
crushed stone|local slate|oak timber|gravel|peat
laying a stone drain|cutting back the gorse|walking the parish bounds|rebuilding a collapsed wall
keep the heart of the wall full|dig the ditch before the path|set the post below the frost
a dry path in January|a wall that needs no mortar|a bridge wide enough for a pram
a landslip below the ridge|a gate tied with string|a path lost under bracken
walkers|wallers|farm tenants|path wardens
the north ridge|the ford|the quarry track|the moor gate
"""
_PAPER = """
hand press|bound ledger|paper mill|marbled cover|type case|sewing frame
folded sheets|leather spines|end papers|lead sorts|torn maps|loose signatures
bone folder|bookbinder's awl|composing stick|nipping press|paring knife
wheat paste|rag pulp|linen thread|printing ink|calf leather
sewing a text block|mending a torn map|setting a page by hand|pulling sheets from the vat
test the glue on a scrap|fold with the grain|wash the type at once|press the book for a night
a book that opens flat|a sharp black impression|a repair one can undo
a spine split by bad glue|a page eaten by silverfish|a warped board
binders|printers|archivists|students with inky hands
the type room|the vat house|the drying loft|the reading room
"""
_CHESS = """
chess club|opening book|endgame study|travelling set|tournament hall|demonstration board
rook endings|blitz games|junior players|score sheets|adjourned positions|club nights
chess clock|wooden board|pairing card|pocket set|analysis notebook
strong coffee|opening theory|deep silence|endgame technique|friendly banter
analysing a lost game|teaching pawn endings|pairing the last round|preparing for a rival
look at every check first|sit on your hands|write the move before playing|rest between the rounds
a draw from a lost position|a clean win in the ending|a rating that climbs slowly
a blunder on move nine|a flag that falls too early|a queen lost in one move
players|arbiters|parents in the corridor|retired champions
the back room of the inn|the long table|the analysis corner|the town hall
"""
_SOLAR = """
solar roof|battery bank|village microgrid|heat pump|hot water tank|wind turbine
roof tiles|meter readings|power cuts|panel strings|night tariffs|copper cables
clamp meter|torque driver|thermal camera|cable tracer|insulation tester
spare current|lake water|hot air|rock wool|thermal paste
sizing the battery|reading the meter every evening|shifting the washing to noon|sealing the attic
insulate before you generate|ask for the winter figures|keep the inverter cool and dry
a bill cut in half|a warm house at low flow|a village that shares its surplus
a shaded string at noon|an inverter that trips in summer|a tank too small for the family
electricians|tenants|roofers|members of the energy society
the south roof|the plant room|the former dairy|the substation
"""
_SEEDS = """
seed library|bean trellis|cold frame|school garden|compost heap|tomato house
climbing beans|seed packets|raised beds|heirloom peas|slug traps|kitchen herbs
dibber|hand sieve|watering can|garden fork|seed drill
ripe compost|leek seed|nettle tea|wood ash|garden twine
saving seed from the best plants|turning the heap|hardening off seedlings|swapping packets
sow thinly in warm soil|dry the seed on plates|label the row before lunch|water in the morning
a bed of crisp lettuce|a jar of beans for winter|a row with no gaps
a tray of leggy seedlings|a heap that stays cold|a night raid by slugs
gardeners|neighbours with spare plants|pupils of the second form|allotment holders
the potting shed|the sunny plot|the seed cupboard|the bed by the gate
"""
_FERRY = """
island ferry|fog horn|harbour light|mail boat|slipway|tide table
lobster pots|spring tides|mooring lines|deck hands|oilskins|winter crossings
lead line|hand compass|bilge pump|signal lamp|splicing tool
salt spray|diesel fumes|kelp|grey paint|driftwood
crossing in a cross sea|splicing a mooring line|sounding the new bar|loading the winter hay
read the tide before the sky|stow the heavy boxes low|phone the island first|slow down in fog
a dry landing at half tide|a crossing without a word of complaint|a harbour free of ice
a rope in the propeller|a bar that moved in the night|a week without post
skippers|islanders|harbour pilots|crab fishers
the north pier|the wheelhouse|the ferry office|the shingle bar
"""


def _topic(block: str) -> dict[str, tuple[str, ...]]:
    rows = [row for row in block.splitlines() if row.strip()]
    return {key: bank(row) for key, row in zip(KEYS, rows, strict=True)}


TOPICS: dict[str, dict[str, tuple[str, ...]]] = {
    "bread": _topic(_BREAD),
    "bees": _topic(_BEES),
    "bicycles": _topic(_BIKES),
    "orchards": _topic(_ORCHARD),
    "canals": _topic(_CANAL),
    "astronomy": _topic(_SKY),
    "singing": _topic(_CHOIR),
    "clocks": _topic(_CLOCKS),
    "pottery": _topic(_POTTERY),
    "weather": _topic(_WEATHER),
    "footpaths": _topic(_PATHS),
    "bookbinding": _topic(_PAPER),
    "chess": _topic(_CHESS),
    "energy": _topic(_SOLAR),
    "gardening": _topic(_SEEDS),
    "harbours": _topic(_FERRY),
}
