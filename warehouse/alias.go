package warehouse

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"strings"
)

// Alias returns the adjective-animal name of the Freight called name. The same
// name starts at the same alias; while isTaken says that one is in use, the next
// in a sequence fixed by name is tried, and after 64 of them a number is added.
func Alias(name string, isTaken func(string) bool) string {
	adjectives, animals := strings.Fields(adjectiveWords), strings.Fields(animalWords)
	sum := sha256.Sum256([]byte(name))
	start, step := binary.BigEndian.Uint32(sum[:4]), binary.BigEndian.Uint32(sum[4:8])|1
	total := uint32(len(adjectives) * len(animals)) //nolint:gosec // a few thousand
	alias := ""
	for i := range uint32(64) {
		n := (start + i*step) % total
		alias = adjectives[n%uint32(len(adjectives))] + "-" + animals[n/uint32(len(adjectives))] //nolint:gosec // a few dozen
		if !isTaken(alias) {
			return alias
		}
	}
	for i := 2; ; i++ {
		if a := alias + "-" + strconv.Itoa(i); !isTaken(a) {
			return a
		}
	}
}

const adjectiveWords = `
agile amber ample azure bold brave breezy bright brisk bronze calm candid cheery chilly civil clear
clever cobalt coral cosmic crimson crisp curious daring dapper deft eager early earnest ebony elated
emerald fabled fair fleet fluent fond frank frosty gallant gentle gilded glad golden grand green happy
hardy hazel honest humble indigo ivory jade jolly jovial keen kind lively loyal lucid lunar magenta
mellow merry mighty mild misty modest neat nimble noble olive opal orange patient placid plucky polar
polite proud quick quiet rapid ready robust rosy royal ruby rustic sable sage sandy scarlet serene
silent silver sleek smart snowy solar solid sparkling spry stable steady stellar stout sturdy subtle
sunny swift tawny teal tender tidy timely topaz tranquil trusty upbeat valiant velvet verdant violet
vivid warm wise witty young zesty`

const animalWords = `
albatross alpaca antelope badger barracuda bat beaver beetle bison boar bobcat buffalo bumblebee
butterfly camel caribou cat cheetah chipmunk cod condor cormorant cougar coyote crab crane cricket
crow curlew deer dingo dolphin donkey dove dragonfly duck eagle egret eider elk emu ermine falcon
ferret finch firefly flamingo fox frog gazelle gecko gibbon giraffe goat goose gopher grouse gull
hamster hare hawk hedgehog heron hippo hornet horse hummingbird husky ibex ibis iguana impala jackal
jaguar jay kangaroo kestrel kingfisher kiwi koala kudu lark lemming lemur leopard lion lizard llama
lobster lynx macaw magpie manatee mantis marlin marmot marten meerkat mink mole mongoose moose moth
mouse mule narwhal newt ocelot octopus okapi opossum orca oriole osprey ostrich otter owl ox oyster
panda panther parrot partridge peacock pelican penguin pheasant pigeon pike pony porcupine puffin
puma quail rabbit raccoon ram raven reindeer robin rooster salmon sandpiper seal shark sheep shrew
shrimp skink skunk sloth snail sparrow spider squid squirrel starling stoat stork swallow swan tapir
tern tiger toad tortoise toucan trout turkey turtle viper vole walrus wasp weasel whale wolf wombat
woodpecker wren yak zebra`
