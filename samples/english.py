"""English sentences of our own: templates by what a sentence does in an article.

Fixed words between two slots are kept to runs of four or fewer where that reads well: two articles
that share a template then share few 5-word shingles.
"""
# ruff: noqa: E501

from samples.grammar import lines

PROFILE = lines("""
[For|After|In] {num} [years|winters|seasons], {hero} has [looked after|cared for|fussed over] {a adj} {thing} [in|just outside|on the edge of] {town}[, mostly without an audience|, with more patience than money|, and seldom on {weekday}s off|].
[Anyone|A stranger|The visitor] who [walks|cycles|wanders] past {spot} [on {a adj} morning in|towards the end of|early in] {month} [will|may well|is bound to] [hear|meet|notice] {hero}, [sleeves rolled up|pencil behind one ear|coat buttoned to the chin] and [busy with|deep in thought about|far too cheerful for] {act}.
{hero} was {num} years old [when|on the day when] {a adj} {thing} [first caught {his} eye|turned up in the family's hallway|came up for sale in {town}], and [very little|nothing much|hardly a week] since then [has gone by without|has had to do with anything but] {act}.
[Nobody|Hardly anyone] in {town} [remembers|can say] who [brought|carried|towed] the {adj} {thing} to {spot}, but [everybody|half of {month}'s visitors|the whole street] [knows|has met|greets] {hero}, who [keeps it going|pays for it|talks to it].
[It takes|You need] {num} minutes [to walk|on foot] from the station at {town} to {spot}, where {hero} [spends|passes|has spent] most {weekday}s with {a tool}, {num} [friends from the street|old friends|curious children] and [a pot of {stuff}|a bucket of {stuff}|plenty of {stuff}].
[Some people|Other people] collect stamps; {hero}, {a adj} [teacher|nurse|plumber|postwoman|driver|accountant] from {town}, [collects|prefers|is fond of] {things}, and {his} [hallway|garage|kitchen] [shows it|is full of them|has no room left].
""")

GUIDE = lines("""
[Before|Long before] you [buy|borrow|build] {a adj} {thing}, [spend|it pays to spend] {num} [evenings|weekends|quiet hours] [with|watching] {people}, [because|since] {act} [looks simple from outside|is harder than any drawing suggests|forgives nobody in a hurry].
This [guide|page|short course] [explains|sets out|describes] how [we|the {club}|two of our members] [handle|look after|choose] {things}, [what it costs|which {adj} shortcuts to avoid|how long it takes], and [why {act} comes first|where {stuff} comes in|when to stop].
[Most|Nearly all] questions [that reach|sent to] the {club} [concern|are about] {things}: how to [choose|store|repair] them, whether {stuff} [helps|does any harm|is worth {percent} a bag], and [what to do about|how to prevent|who pays for] {bad}.
[Let us start with|First comes] the {tool}, [because|since] without it {act} is [mostly guesswork|a matter of luck|slow and {adj}], and [because|since] {percent} out of a hundred beginners [buy the wrong one|never clean it|leave it in the rain].
[There are|We know of] {num} ways [to set up|of setting up] {a thing}, and [in {town}|among {people}|in our club] [every one of them|at least half] has [{a adj} defender|its own {weekday} table]; [here is|what follows is] the one that [gave us|led to] {good}.
If [you have inherited|somebody has left you|you have found] {a adj} {thing}, [do not clean it yet|leave the {stuff} alone for now|keep {num} photographs of it]: the [marks|layers|scratches] [tell|will show] {people} [far more|rather more] about [its past|{act}|the {adj} years] than [any label|a paper in a drawer].
""")

REPORT = lines("""
[About|Roughly|Some] {tens} people [came|turned up|found their way] to {spot} on {weekday} to [hear|find out|discuss] what the {club} [intends|wants|would like] to do with [its|the] {adj} {thing} [before|by] the [end of {month}|first of {month}|winter].
The {adj} {thing} at {spot} in {town} [will be repaired|is to be restored|has reopened|will stay shut] [this {month}|after {num} months|for another {num} weeks], [the {club} said|{hero} announced|members decided] on {weekday}.
After {num} [rounds of talks|long meetings|drafts], [{town} and {town2}|the towns of {town} and {town2}] have [agreed|settled] on [a joint plan|{a adj} plan] for their {things}, and {hero} of the {club} [calls it|describes it as] [overdue|{a adj} beginning|better than nothing].
[A survey|A count|A review] by the {club} [has found|counted|lists] {hundreds} {things} in and around {town}, [which is {tens} more|{tens} fewer] than in {year}, and raises the [{adj}|old] question who [will pay for|has time for|still learns] {act}.
[On the {day}th of {month}|Late in {month}|In the {adj} days of {month}], {a thing} from {town} [arrived|was unloaded|came back] at {spot}, {num} [years|decades] after {people} [had written it off|last saw it|had given up hope].
""")

BACKGROUND = lines("""
The [story|trouble|work] [goes back to|began in|starts in] {year}, when {a adj} [storm|auction|inheritance|argument] [left|brought|gave] the town [with {num} {things}|a {thing}] and [no plan|nobody to run it|very little {stuff}].
In {year} there were [still {hundreds}|as many as {hundreds}|no more than {tens}] {things} [between {town} and {town2}|in the whole valley|in {town} alone]; [{num} years later|a generation later] [hardly {num}|only {tens}] [were left|remained in use].
[Old|Faded|Carefully kept] [letters|diaries|account books] [show|suggest|hint] that {people} in {town2} [paid {hundreds} coins for|argued for {num} years about|were proud of] [a single|one {adj}] {thing}.
{people} [had|used to have] [a saying|{a adj} joke] about {town}: [there is|you will find] more {stuff} [than sense|under the floor than in the sack|on the road than in the shed].
[What|The thing that] [changed|saved] the {thing} was [not money|no grand plan|hardly a matter of skill] but [{a adj} winter|the closing of the mill|a new road to {town2}], which [forced|persuaded|allowed] {people} to [work together|share {a tool}|{todo}].
The [first|oldest] {thing} [stood|was kept] [near|behind|opposite] {spot} and [cost|was sold for] {thousands} [crowns|pounds|francs], [a sum|an amount] that {num} families [raised|borrowed] [over {num} years|against the advice of the bank].
{otherlast}, [whose family|whose aunt] [came from|lived in] {town2}, [remembers|recalls] {act} [as a child|before school|by candlelight], [usually in|mostly in] {month}, and [always with|rarely without] {a adj} {tool}.
[Until|Well into] {year} the [council|county|bank] [treated|regarded] {things} as [{a adj} nuisance|scrap|somebody else's business], [even though|although] {percent} per cent of [local households|the shops in {town}] [depended on them|had one].
[The word itself|Even the name] is [disputed|a puzzle]: in {town} [they say|people speak of] {things}, in {town2} [the same|exactly the same] [objects|pieces] [go by|carry] {num} [other names|{adj} nicknames].
[Much|Most|Some] of this [was lost|vanished|was thrown away] [in the flood of|during the {adj} summer of|after the fire in] {year}, [yet|but] {a tool} and [a box of|{num} boxes of] {stuff} [survived|were found] in [an attic|a dry loft|a cellar] at {town2}.
""")

PRACTICE = lines("""
[On a typical|On an ordinary] {weekday} the work [starts|begins] at {hour} [o'clock|sharp] with {act}, [followed by|then comes] [{a adj} breakfast|a look at the {stuff}|{num} telephone calls] and [often|sometimes] [more of the same|{act}].
[The {adj} part|Half of the craft] is {act}: [too fast|a touch too early], and [the result is|you get] {bad}; [too slow|an hour late], and [the {stuff} is wasted|{people} grow impatient].
{people} [who do this well|with long practice] [reach for|prefer] {a tool} [rather than|instead of] a machine, [because|since] [it lets them feel|they can tell at once] [how much {stuff} is left|whether the {thing} is {adj}|what is going wrong].
{hero} [works|thinks] in [small|{adj}] steps: [first|to begin with] [comes the {stuff}|a look at the {thing}], then {act}, and [only then|last of all] the [{tool}|diary].
[At|Near] {spot} [hangs|there is] [{a adj} board|a list] with {num} rules, and [the shortest|number {num}] [says|reads]: {todo}.
[A|One] {adj} {thing} [needs|asks for] {num} [hours|visits] [of care|] a [week|month], [a {tool}|some {stuff}] [and|plus] [the sort of|a kind of] [attention|eye] that [cannot be hurried|no manual teaches|{people} learn from each other].
{first} [lifts|takes] the {tool} [from its hook|out of its box], [wipes off|brushes away] the {stuff} and [waits|counts to {tens}]; {act} [can go wrong|goes best] [when the room is cold|in silence|on {adj} days].
[Between {month} and {month}|From {month} onwards] [little happens|the pace changes] at {spot}: the {things} [are put away|get a coat of {stuff}|rest], and {people} [turn to|catch up on] {act}.
[Every|Each] {thing} [gets|has] a [card|page|number] [on which|where] {first} notes [the date|the {weekday}], the [amount|price] of {stuff}, and [whether|how far] [it led to|there was] {good}.
[Ask|Watch] {num} {people} and you [will see|get] {num} [ways|methods] of {act}, [though all|but nearly all] [agree|insist] that the {stuff} [must be {adj}|comes first|matters most].
The {tool} [looks|seems] {adj}, [but|yet] [in {his} hands|with some practice] it [saves|spares] {tens} minutes [of {act}|] and [quite often|now and then] [prevents|wards off] {bad}.
There is [no secret|nothing {adj}] [in it|about it], {otherlast} [says|thinks]: [you|one must] {todo}, [then wait|then be patient], and [by {month}|with luck] you [have|can expect] {good}.
""")

PROBLEM = lines("""
[Not everything|Hardly anything] [went|goes] [to plan|smoothly]: in {month} [came|there was] {bad}, [and|which meant that] {num} weeks of {act} [were lost|had to be repeated|came to nothing].
The [worst|most {adj}] [mistake|habit] [of beginners|that {people} know] is [to forget the {stuff}|haste with the {tool}], [which leads to|and the price is] {bad} [sooner or later|within {num} days].
[When|If] the {thing} [fails|gives up|makes trouble], [look at the {stuff} first|the cause is rarely the {tool}]; [in {percent} cases out of a hundred|more often than not] [somebody has forgotten|nobody remembered] to [{todo}|{todo} in time].
[Money|Space|Time] is [the next|{a adj}] [worry|question]: {a adj} {thing} [costs|swallows] {thousands} [a year|in repairs], [while|and] the {club} [has|takes in] [barely|no more than] {hundreds}.
{people} [complain|grumble] [about|over] {bad}, [about|and over] the [price|quality] of {stuff} and, [since {year}|more and more], about [rules|forms] that [nobody in {town2}|no inspector] can [explain|apply to {things}].
[One|A single] {adj} night in {month} [was enough|undid {num} months of work]: {bad}, [a broken {tool}|{num} broken {things}], and {people} [standing|gathered] at {spot} [in silence|with torches].
[Whether|How long] the {things} [will last|can stay] [is an open question|depends on the roof], [for|because] the {stuff} [gets scarce|comes from far away] and [few|only {num}] [young people|firms] [near {town2}|in the county] [still master|want to learn] {act}.
[A|The] [rival|competing] [plan|idea] [from|made in] {town2} [would|was to] [replace|move] the {thing} [by|before] {month}, [a step|an idea] that {last} [calls {adj}|has fought for {num} years|will not hear of].
{first} [shrugs|laughs]: [after|with] {bad} [you learn|one learns] [to {todo}|humility], and [nothing|little] [is wasted|was for nothing] [as long as|if] {people} [talk about it|write it down].
""")

NUMBERS = lines("""
In [{month} {year}|the {adj} year of {year}] the {club} [counted|listed] {hundreds} {things}; [{num} years later|today] [there are|it is] {hundreds}, [of which|and of these] {tens} [need repair|are in daily use|belong to {people}].
[According to|Going by] {otherlast}'s [notebook|figures], [a good {thing}|one {thing}] [uses|takes] {tens} kilos of {stuff} [in {num} months|a season], [against|compared with] {tens} [in {town2}|before the repair].
[Of|Out of] {hundreds} {people} [who were asked|in the survey], {percent} per cent [wanted|asked for] {good}, [{percent} per cent|only {tens}] [had ever tried|knew anything about] {act}, and [the rest|{num}] [had no opinion|left the page blank].
The [bill|budget] [came to|is] {thousands}: {hundreds} for {stuff}, [another {hundreds}|{tens}] for {a adj} {tool}, and [the remainder|what was left] for [soup|insurance|the roof of {spot}].
[Temperatures|Prices|Visits] [rose|fell] by {percent} per cent [between {month} and {month}|over {num} years], [which|and that] [explains|may explain] why {people} [now {todo}|speak of {bad}|have moved to {town2}].
[A {thing}|One {thing}] [weighs|holds] [about|roughly] {tens} kilos, [lasts|stands] {num} [seasons|decades] and, [with|given] {stuff} [at {tens} a sack|at today's price], [costs|comes to] [less than|hardly more than] [a {weekday} evening out|{tens} a week].
[Last {month}|In the week of the {day}th] [alone|], {tens} [visitors|children] [tried|had a go at] {act}; {num} [gave up|broke the {tool}], {num} [came back|stayed for supper], and one [asked|begged] for {a thing} of {his} own.
""")

QUOTE = lines("""
“[You cannot|Nobody can] [rush|hurry] {a thing},” {last} [says|remarks], [wiping {stuff} from|reaching for|putting down] the {tool}. “[Give it|It needs] {num} [days|weeks], and you [get|will have] {good}.”
“[My grandmother|My first teacher|An old neighbour] [taught me|always said]: {todo},” [says|recalls] {otherlast}, [who moved|who came] to {town} in {year}. “[I laughed|I took no notice], [until|and then came] {bad}.”
“[If|When] {people} [ask|want to know] [why|what for],” {hero} [says|tells us], “I [show|hand] them the {tool} and [say nothing|wait]. [By {weekday}|After {num} minutes] they [understand|ask for more].”
“We [tried|have tried] it [without|with less] {stuff},” [admits|says] {last}, “and [the result was|what we got was] {bad}. [So|Now] we {todo}, [every time|like everyone in {town2}].”
“[For me|To my mind] {act} is [like|not unlike] [reading|cooking|a long walk],” {other} [says|explains] at {spot}. “[After|In] {num} hours [the head is clear|I forget the rest], and [now and then|with luck] [there is|I get] {good}.”
“[People|Visitors] [think|believe] it is [about|all] {things},” {last} [adds|goes on]. “[It is|In truth it is] about {people}, [and about|about patience and about] [whoever comes|those who turn up] on {adj} {weekday}s.”
“[I have|We have] {num} [rules|habits],” {otherlast} [says|explains]: “{todo}, [be kind|never lend the {tool}], and [go home|stop] [at {hour} o'clock|before you are tired].”
""")

ADVICE = lines("""
[First|To begin with], {todo}; [it costs|this takes] {num} minutes and [saves you|prevents] {bad}.
[Then|Next], [take|pick up] the {tool} and [try|begin with] {act}, [a little|{tens} minutes] at a time, [until|so that] the {stuff} [feels {adj}|stays where it belongs].
[Never|Do not] [put|leave] {a thing} [near|in front of] [a radiator|an open window|{spot}] [for more than|longer than] {num} days: [what you get|the outcome] is {bad}.
[Choose|Look for] {a adj} {tool} [rather than|and avoid] [the cheapest|a new one]; [second-hand ones|old ones] [turn up|are sold] in {town2} for [about|under] {tens} [pounds|euros].
If [you are met by|you have to face] {bad}, [stop|put the {tool} down], {todo}, and [ask|write to] {people} [before you go on|and wait for an answer].
[Keep|Store] the {stuff} [dry|in the dark|in a cool room], [label it|write down the date], and [throw it out|replace it] after {num} [months|weeks], [however {adj}|no matter how {adj}] it [looks|seems].
[Two|Good] {people} [make|are worth] more than {a adj} {thing}: [one|somebody] [holds|steadies] the {tool} while [the other|a friend] [goes on with|sees to] {act}.
[It helps|It is a good idea] to {todo} [in {month}|early on], [since|because] by {month} [everyone wants {things}|{stuff} is hard to find|the days are short].
A [common|frequent] question is [how much {stuff}|how many {things}] [to buy|one needs]; [the {adj} answer|our answer] is [half of|rather less than] what [the shop|the label] [suggests|recommends].
[Repeat this|Do this again] [every|each] {weekday} for {num} weeks, {todo}, and [before {month}|quite soon] you [will be rewarded with|should see] {good}.
""")

COMPARISON = lines("""
[Compared with|Unlike] {a thing} [in|from] {town2}, [the one|ours] at {spot} is [{adj}|smaller|{num} years older], [which|and that] [suits {people}|makes {act} easier|keeps the {stuff} cool].
[Some|A few] {people} [swear by|prefer] the {tool}, while [others|the rest] [trust|rely on] {stuff} and [luck|a good night's sleep]; [both|all of them] [end up with|know] {good}, and [both|all] [fear|curse] {bad}.
[Where|While] {town2} [invested|put its money] in {things}, {town} [spent|used] the [same|{adj}] [sum|years] on {people}, and [it shows|you can tell] [by|from] the [people|{things}].
[There is|One finds] [a world of|some] difference between {a adj} {thing} and [a merely {adj} one|one that merely works]: the [former|first] [gives|brings] you {good}, the [latter|second] [company|a full diary].
[In the past|Before {year}] {people} [did without|hardly used] {stuff}, and [although|while] [their|the old] {things} [looked {adj}|took longer], [few of them|hardly any] [suffered from|ended in] {bad}.
[The {adj} alternative|Another way] is {act}, [popular|common] in {town2} since {year}, [but|though] it [wants|asks for] {num} {people}, [{a adj} {tool}|twice the {stuff}] and [dry weather|nerves of steel].
""")

OUTLOOK = lines("""
[In {month}|Next {month}] the {club} [opens|starts] [a course|evenings] on {act}; [there is room for|it takes] {tens} people, [the fee is|it costs] {tens}, and [soup|{stuff}] is [included|extra].
[What comes next|The next step] [depends|hangs] on [the weather in|a vote in] {month}, [on|and on] the [price|supply] of {stuff}, and [on|above all on] whether {people} [in {town2}|from outside] [join in|lend their {things}].
{first} [is planning|has begun] [a second|another] {thing}, [{a adj} one|smaller and {adj}], [right beside|not far from] {spot}, and [hopes|expects] [to finish|to light the lamps] [before {month}|within {num} months].
[Nobody|No one here] [expects miracles|promises much], [but|yet] [since {month}|for {num} weeks now] [there has been|people have noticed] {good}, and {people} [are smiling again|talk about {spot} as if it were theirs].
[Perhaps|It may be that] {things} will [never be common again|always be rare], [but|yet] {num} [schools|families] near {town} have [asked for|begun with] {act}, [and that is|which is] [a start|more than in {year}].
""")

CLOSING = lines("""
[When the light goes|Towards evening], {hero} [hangs up|puts away] the {tool}, [shuts|locks] {spot} and [cycles|walks] home to {town2}, [already|quietly] [thinking about|looking forward to] {act}.
[So|And so] the {adj} {thing} [stays|goes on], [a little crooked|not quite {adj}], [looked after by|in the care of] {people} who [know|have learned] to {todo}.
[For those|For anyone] who [would like|wants] to [see it|help]: the {club} [meets|opens] on {weekday}s at {hour} [o'clock|sharp], [close to|right behind] {spot}, and [asks only|expects only] that you {todo}.
[In the end|All in all], [it is not|it was never] the {thing} that [counts|people remember] but [the {adj} hours|the talk] at {spot}, [the smell|a trace] of {stuff}, and [now and then|every {num} weeks] {good}.
Ask [{last}|{hero}|{people}] [what|which part] [remains|matters], and the answer [is short|comes at once]: {todo}, [share the {stuff}|lend out the {things}], [and|but] [never be afraid|have no fear] of {bad}.
[If all goes well|With some luck], [the first|{tens}] {things} [leave|will leave] {spot} in {month}; [until then|meanwhile] there is {stuff} [to order|to carry] and {act} [to be done|to practise].
""")

TITLES = lines("""
{last} and the {adj} {thing}
How to look after {a adj} {thing}
{num} lessons from {num} years of {act}
Why {town} still needs {things}
{thing}, {stuff} and patience: {a weekday} in {town}
The {adj} {things} of {town2}
What {people} know about {stuff}
{town}: {tens} {things} and one {tool}
Notes on {act}
The {thing} at {spot}
From {town2} to {town} with {a adj} {thing}
A beginner's guide to {things} and {stuff}
""")

HEADINGS = lines("""
A {adj} start
What the {tool} is for
{stuff} and how to store it
Lessons from {town2}
The year {year}
Why {people} care
{act}, step by step
Costs and numbers
What comes next
Looking back
""")

COMMENTS = lines("""
[Thanks|Thank you] for this, [I had no idea about|we had the same trouble with] the {stuff}.
[Great read|Lovely piece]! [My uncle|Our neighbour] in {town2} [still has|sold] {a thing} like that.
[Does anyone know|Can someone tell me] where to [buy|borrow] {a tool} [near|around] {town}?
[I disagree|Not convinced]. [Try|Have you tried] it with less {stuff}?
[We were there|Came by] last {weekday}, [well worth it|the {adj} {thing} was shut].
""")

# What an article is made of: openings, then the moves of the middle by weight, then endings.
GENRES = {
    "profile": (PROFILE, (BACKGROUND, PRACTICE, QUOTE, PROBLEM, PRACTICE, NUMBERS, COMPARISON)),
    "guide": (GUIDE, (ADVICE, PRACTICE, PROBLEM, ADVICE, COMPARISON, QUOTE, NUMBERS, ADVICE)),
    "report": (REPORT, (BACKGROUND, NUMBERS, QUOTE, PROBLEM, COMPARISON, NUMBERS, PRACTICE)),
}
