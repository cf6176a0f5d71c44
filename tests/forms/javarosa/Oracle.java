import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;
import org.javarosa.core.model.Constants;
import org.javarosa.core.model.CoreModelModule;
import org.javarosa.core.model.FormDef;
import org.javarosa.core.model.FormIndex;
import org.javarosa.core.model.SelectChoice;
import org.javarosa.core.model.data.IAnswerData;
import org.javarosa.core.model.data.MultipleItemsData;
import org.javarosa.core.model.data.SelectMultiData;
import org.javarosa.core.model.data.SelectOneData;
import org.javarosa.core.model.data.StringData;
import org.javarosa.core.model.data.helper.Selection;
import org.javarosa.core.model.instance.InstanceInitializationFactory;
import org.javarosa.core.model.instance.TreeElement;
import org.javarosa.core.model.instance.TreeReference;
import org.javarosa.core.services.IPropertyManager;
import org.javarosa.core.services.PropertyManager;
import org.javarosa.core.services.PrototypeManager;
import org.javarosa.core.services.properties.IPropertyRules;
import org.javarosa.core.services.transport.payload.ByteArrayPayload;
import org.javarosa.core.util.JavaRosaCoreModule;
import org.javarosa.form.api.FormEntryController;
import org.javarosa.form.api.FormEntryModel;
import org.javarosa.form.api.FormEntryPrompt;
import org.javarosa.model.xform.XFormSerializingVisitor;
import org.javarosa.model.xform.XFormsModule;
import org.javarosa.xform.util.XFormAnswerDataParser;
import org.javarosa.xform.util.XFormAnswerDataSerializer;
import org.javarosa.xform.util.XFormUtils;

/**
 * A phone without a screen: JavaRosa is asked to fill a form in, and says what a phone would have stored.
 *
 * <p>One JSON object a line comes in, one goes out, until the input ends. The first request about a form brings its
 * text; later ones name the key alone:
 *
 * <pre>
 * {"key": "k1", "xform": "<h:html ...", "answers": {"/data/age": "30", "/data/uses": ["a", "b"]},
 *  "rows": {"/data/child": 2}, "language": "English (en)"}
 * {"values": {"/data/age": "30", "/data/hidden": null}, "refused": [{"path", "why", "message"}],
 *  "missing": ["/data/name"], "submission": "<data ..."}
 * </pre>
 *
 * A value of null is a node that is not relevant, "" one that is blank. What could not be answered is refused: "not
 * asked" (never relevant, or no such question), "no such choice", "not of this type", "read only", "constraint".
 * A request that fails altogether gives {"error": "..."}.
 */
public final class Oracle {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        PrototypeManager.registerPrototypes(JavaRosaCoreModule.classNames);
        PrototypeManager.registerPrototypes(CoreModelModule.classNames);
        new XFormsModule().registerModule();
        PropertyManager.setPropertyManager(new NoProperties());
        // JavaRosa prints to standard output now and then; the answers keep that channel to themselves.
        PrintStream answers = new PrintStream(System.out, true, "UTF-8");
        System.setOut(System.err);
        Map<String, byte[]> forms = new HashMap<>();
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            answers.println(reply(JSON.readTree(line), forms));
        }
    }

    private static String reply(JsonNode request, Map<String, byte[]> forms) throws Exception {
        try {
            String key = request.get("key").asText();
            if (request.has("xform")) {
                forms.put(key, request.get("xform").asText().getBytes("UTF-8"));
            }
            return JSON.writeValueAsString(new Interview(forms.get(key), request).hold());
        } catch (Exception | StackOverflowError problem) {
            return JSON.writeValueAsString(JSON.createObjectNode().put("error", problem.toString()));
        }
    }

    /** One form, filled in once. */
    private static final class Interview {
        private final FormDef form;
        private final FormEntryController phone;
        private final Map<String, JsonNode> waiting = new LinkedHashMap<>();
        private final JsonNode rows;
        private final ArrayNode refused = JSON.createArrayNode();

        Interview(byte[] xform, JsonNode request) throws Exception {
            form = XFormUtils.getFormFromInputStream(new ByteArrayInputStream(xform));
            phone = new FormEntryController(new FormEntryModel(form));
            form.initialize(true, new InstanceInitializationFactory());
            if (request.hasNonNull("language")) {
                phone.setLanguage(request.get("language").asText());
            }
            request.path("answers").fields().forEachRemaining(item -> waiting.put(item.getKey(), item.getValue()));
            rows = request.path("rows");
        }

        ObjectNode hold() throws Exception {
            // An answer may open a question that lies before it, so we go through the form until nothing moves.
            while (goThrough()) {
            }
            waiting.keySet().forEach(path -> refuse(path, "not asked", null));
            ArrayNode missing = missing();
            phone.finalizeFormEntry();
            ObjectNode report = JSON.createObjectNode();
            collect(form.getMainInstance().getRoot(), report.putObject("values"));
            report.set("refused", refused);
            report.set("missing", missing);
            return report.put("submission", submission());
        }

        private boolean goThrough() {
            boolean moved = false;
            int event = phone.jumpToIndex(FormIndex.createBeginningOfFormIndex());
            while (event != FormEntryController.EVENT_END_OF_FORM) {
                FormIndex here = phone.getModel().getFormIndex();
                if (event == FormEntryController.EVENT_PROMPT_NEW_REPEAT && wantsRow(here)) {
                    phone.newRepeat();
                    moved = true;
                } else if (event == FormEntryController.EVENT_REPEAT && hasRowTooMany(here)) {
                    event = phone.jumpToIndex(phone.deleteRepeat());
                    moved = true;
                    continue;
                } else if (event == FormEntryController.EVENT_QUESTION) {
                    JsonNode given = waiting.remove(name(here.getReference()));
                    moved |= given != null && answer(here, given);
                }
                event = phone.stepToNextEvent();
            }
            return moved;
        }

        private boolean wantsRow(FormIndex here) {
            return here.getElementMultiplicity() < rows.path(kind(here.getReference())).asInt(0);
        }

        private boolean hasRowTooMany(FormIndex here) {
            JsonNode wanted = rows.path(kind(here.getReference()));
            return !wanted.isMissingNode() && here.getElementMultiplicity() >= wanted.asInt();
        }

        private boolean answer(FormIndex here, JsonNode given) {
            FormEntryPrompt question = phone.getModel().getQuestionPrompt(here);
            String path = name(here.getReference());
            if (question.isReadOnly()) {
                return refuse(path, "read only", null);
            }
            IAnswerData value = null;
            if (!blank(given)) {
                List<String> words = words(given);
                List<Selection> chosen = chosen(question, words);
                if (chosen != null && chosen.size() < words.size()) {
                    return refuse(path, "no such choice", null);
                }
                try {
                    value = typed(question, given.asText(), chosen);
                } catch (RuntimeException problem) {
                    value = null;
                }
                if (value == null) {
                    return refuse(path, "not of this type", null);
                }
            }
            int outcome = phone.answerQuestion(here, value, true);
            return outcome == FormEntryController.ANSWER_OK
                    || refuse(path, "constraint", question.getConstraintText(value));
        }

        private boolean refuse(String path, String why, String message) {
            refused.addObject().put("path", path).put("why", why).put("message", message);
            return false;
        }

        private ArrayNode missing() {
            ArrayNode paths = JSON.createArrayNode();
            int event = phone.jumpToIndex(FormIndex.createBeginningOfFormIndex());
            for (; event != FormEntryController.EVENT_END_OF_FORM; event = phone.stepToNextEvent()) {
                if (event == FormEntryController.EVENT_QUESTION) {
                    FormEntryPrompt question = phone.getModel().getQuestionPrompt();
                    if (question.isRequired() && question.getAnswerValue() == null) {
                        paths.add(name(question.getIndex().getReference()));
                    }
                }
            }
            return paths;
        }

        private String submission() throws Exception {
            XFormSerializingVisitor writer = new XFormSerializingVisitor();
            return new String(
                    ((ByteArrayPayload) writer.createSerializedPayload(form.getMainInstance())).getPayloadBytes(),
                    "UTF-8");
        }
    }

    private static boolean blank(JsonNode given) {
        return given.isNull() || (given.isArray() ? given.isEmpty() : given.asText().isEmpty());
    }

    private static List<String> words(JsonNode given) {
        if (given.isArray()) {
            return StreamSupport.stream(given.spliterator(), false).map(JsonNode::asText).collect(Collectors.toList());
        }
        return Arrays.asList(given.asText().trim().split("\\s+"));
    }

    /** The choices with these names, fewer where a name is unknown; null where the question offers no choices. */
    private static List<Selection> chosen(FormEntryPrompt question, List<String> words) {
        int control = question.getControlType();
        if (control != Constants.CONTROL_SELECT_ONE
                && control != Constants.CONTROL_SELECT_MULTI
                && control != Constants.CONTROL_RANK) {
            return null;
        }
        Map<String, SelectChoice> offered = new HashMap<>();
        question.getSelectChoices().forEach(choice -> offered.putIfAbsent(choice.getValue(), choice));
        return words.stream()
                .filter(offered::containsKey)
                .map(word -> offered.get(word).selection())
                .collect(Collectors.toList());
    }

    private static IAnswerData typed(FormEntryPrompt question, String text, List<Selection> chosen) {
        switch (question.getControlType()) {
            case Constants.CONTROL_SELECT_ONE:
                return new SelectOneData(chosen.get(0));
            case Constants.CONTROL_SELECT_MULTI:
                return new SelectMultiData(chosen);
            case Constants.CONTROL_RANK:
                return new MultipleItemsData(chosen);
            case Constants.CONTROL_INPUT:
            case Constants.CONTROL_RANGE:
                return XFormAnswerDataParser.getAnswerData(text, question.getDataType(), question.getQuestion());
            default:
                return new StringData(text);
        }
    }

    private static void collect(TreeElement node, ObjectNode into) {
        if (node.getMult() == TreeReference.INDEX_TEMPLATE) {
            return;
        }
        if (node.getNumChildren() == 0) {
            into.put(name(node.getRef()), node.isRelevant() ? stored(node.getValue()) : null);
        }
        for (int i = 0; i < node.getNumChildren(); i++) {
            collect(node.getChildAt(i), into);
        }
    }

    private static String stored(IAnswerData value) {
        return value == null ? "" : String.valueOf(new XFormAnswerDataSerializer().serializeAnswerData(value));
    }

    /** /data/child[2]/age: the first of several needs no number. */
    private static String name(TreeReference ref) {
        return ref.toString(true).replace("[@template]", "").replace("[1]", "");
    }

    /** /data/child: which repeat it is, whatever the row. */
    private static String kind(TreeReference ref) {
        return ref.genericize().toString(false);
    }

    /** No phone, no owner: `username` and `deviceid` stay blank. */
    private static final class NoProperties implements IPropertyManager {
        @Override
        public List<String> getProperty(String name) {
            return List.of();
        }

        @Override
        public String getSingularProperty(String name) {
            return null;
        }

        @Override
        public void setProperty(String name, String value) {}

        @Override
        public void setProperty(String name, List<String> value) {}

        @Override
        public void addRules(IPropertyRules rules) {}

        @Override
        public List<IPropertyRules> getRules() {
            return List.of();
        }
    }
}
