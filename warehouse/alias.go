package warehouse

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Why Freight cannot have an alias.
var (
	// ErrAliasInvalid: it is no name, or a word that means something already.
	ErrAliasInvalid = errors.New("it cannot be an alias")
	// ErrAliasTaken: people would find other Freight by it.
	ErrAliasTaken = errors.New("the alias is taken")
)

// aliasPattern is what the schema of Freight takes, and labels take too.
var aliasPattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

// MinNamePrefix is the shortest start of a Freight's name that is taken for one.
const MinNamePrefix = 5

// CheckAlias returns nil when the Freight called name may have the alias beside all
// the others of its Project: everybody finds just this one by it. Errors wrap
// ErrAliasInvalid or ErrAliasTaken.
func CheckAlias(alias, name string, all []v1alpha1.Freight) error {
	switch {
	case !aliasPattern.MatchString(alias) || len(alias) > 63:
		return fmt.Errorf("%w: it is made of at most 63 lower-case letters, digits and dashes, not %.80q", ErrAliasInvalid, alias)
	case alias == "latest" || alias == "prev":
		return fmt.Errorf("%w: %q already means something wherever Freight is named", ErrAliasInvalid, alias)
	}
	for i := range all {
		f := &all[i]
		isOther := f.Name != name && (f.Alias == alias || IsVersionOf(f.Artifacts(), alias) || len(alias) >= MinNamePrefix && strings.HasPrefix(f.Name, alias))
		if isOther {
			return fmt.Errorf("%w: %q means Freight %q already", ErrAliasTaken, alias, f.Name)
		}
	}
	return nil
}

// IsVersionOf reports whether text is what people call one of the artifacts: a
// tag, a digest, a commit by at least seven digits, a version of a chart.
func IsVersionOf(a v1alpha1.Artifacts, text string) bool {
	return slices.Contains(a.Versions(), text) ||
		slices.ContainsFunc(a.Images, func(i v1alpha1.Image) bool { return i.Digest == text }) ||
		slices.ContainsFunc(a.Commits, func(c v1alpha1.Commit) bool { return len(text) >= 7 && strings.HasPrefix(c.ID, text) })
}

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
